package edit

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// byteOrderMark may start a file; the parser does not count it as a column.
var byteOrderMark = []byte("\xEF\xBB\xBF")

// Scan finds the markers of a file, in order. It depends on the content only,
// so its result may be kept for as long as the content's hash.
func Scan(content []byte) []Marker {
	if !bytes.Contains(content, []byte(key)) {
		return nil
	}
	var markers []Marker
	for _, document := range splitDocuments(splitLines(content)) {
		markers = append(markers, scanDocument(content, document)...)
	}
	return markers
}

// scanDocument reads the lines first and then asks the parser, if there is
// anything to ask it about and it understands the document at all.
func scanDocument(content []byte, lines []line) []Marker {
	var markers []Marker
	var block blockTracker
	for _, l := range lines {
		inside := block.next(l.text)
		m, found := scanLine(l)
		if !found {
			continue
		}
		if inside {
			m.Skip = Multiline
		}
		markers = append(markers, m)
	}
	if len(markers) == 0 {
		return nil
	}
	nodes, err := parse(content, lines)
	for i := range markers {
		if err != nil {
			distrust(&markers[i])
			continue
		}
		settle(&markers[i], nodes)
	}
	return markers
}

// scanLine reads a line on its own.
func scanLine(l line) (Marker, bool) {
	if !bytes.Contains(l.text, []byte(key)) {
		return Marker{}, false
	}
	text, shift := l.text, 0
	if l.start == 0 && bytes.HasPrefix(text, byteOrderMark) {
		shift = len(byteOrderMark)
		text = text[shift:]
	}
	comment := commentStart(text)
	if comment < 0 {
		return Marker{}, false
	}
	m := Marker{Line: l.number}
	var found bool
	if m.Setter, m.Skip, found = readComment(text[comment:]); !found {
		return Marker{}, false
	}
	f, skip := readField(text, comment)
	if skip != "" {
		if m.Skip == "" {
			m.Skip = skip
		}
		return m, true
	}
	start := l.start + shift
	m.span = span{
		start: start + f.start, end: start + f.end, style: f.style,
		column: utf8.RuneCount(text[:f.property]) + 1, certain: f.certain,
	}
	m.Value = unquote(text[f.start:f.end], f.style)
	return m, true
}

// settle checks a marker's value against the node that the parser found there,
// and learns what object it is in. The value of a scalar in a flow collection
// may be followed by a comma that a line alone cannot tell from its text.
func settle(m *Marker, nodes map[position]located) {
	at, ok := nodes[position{m.Line, m.span.column}]
	if ok {
		m.Object = at.object
	}
	switch {
	case m.Skip != "":
	case !ok:
		m.Skip = Multiline
	case at.node.Kind != yaml.ScalarNode || at.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		m.Skip = Unsupported
	case at.node.Value == m.Value:
		m.span.inFlow = at.inFlow
	case at.inFlow && m.span.style == plain && at.node.Value+"," == m.Value:
		m.Value = at.node.Value
		m.span.end--
		m.span.inFlow = true
	default:
		m.Skip = Unsupported
	}
}

// distrust skips what is ambiguous when there is no parser to ask: an unusual
// key, a comma that may not belong to the value, a colon that may make it a key.
func distrust(m *Marker) {
	if m.Skip != "" {
		return
	}
	if !m.span.certain || (m.span.style == plain && (strings.HasSuffix(m.Value, ",") ||
		strings.HasSuffix(m.Value, ":") || strings.Contains(m.Value, ": "))) {
		m.Skip = Unsupported
	}
}

// blockTracker follows the lines of block scalars by indentation.
type blockTracker struct {
	inside bool
	parent int // columns: content is indented more than this
}

// next takes the next line and tells whether it is content of a block scalar.
func (b *blockTracker) next(text []byte) bool {
	indent := len(text) - len(bytes.TrimLeft(text, " "))
	if b.inside {
		if indent > b.parent || len(bytes.TrimSpace(text)) == 0 {
			return true
		}
		b.inside = false
	}
	end := commentStart(text)
	if end < 0 {
		end = len(text)
	}
	words := bytes.Fields(text[:end])
	if len(words) == 0 || !isBlockHeader(words[len(words)-1]) {
		return false
	}
	b.inside, b.parent = true, indent
	for i := indent; i < end && text[i] == '-' && endsWord(text, i+1); {
		if i = skipBlanks(text, i+1); i < end && text[i] != '|' && text[i] != '>' {
			b.parent = i
		}
	}
	return false
}

// isBlockHeader recognises "|" and ">" with their indicators.
func isBlockHeader(word []byte) bool {
	return (word[0] == '|' || word[0] == '>') && len(bytes.Trim(word[1:], "+-123456789")) == 0
}
