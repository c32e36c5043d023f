// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// Bounds of what is read. A parsed document takes up to two hundred times its
// size in memory, and a repository may be malicious. An object of Kubernetes
// cannot have more than about a mebibyte.
const (
	// MaxSize is the size in bytes of the largest file that is edited.
	MaxSize = 4 << 20
	// MaxDocument is the size in bytes of the largest YAML document in it.
	MaxDocument = 1 << 20
	// maxDepth is how many block scalars may be around a marker.
	maxDepth = 4
)

// maxNodes bounds the values of a document that is parsed. One of prose or
// Kubernetes objects has some fifty thousand in a mebibyte; only one that was made
// to has more.
const maxNodes = 250_000

// nodesOf is how many values a document may have at most: one behind each of the
// characters that may start one.
func nodesOf(text []byte) int {
	nodes := 0
	for _, c := range text {
		switch c {
		case '\n', '\r', ',', ':', '-', '?', '[', '{':
			nodes++
		}
	}
	return nodes
}

// Memory is about how many bytes reading the markers of a file may take at once,
// the file itself included.
func Memory(content []byte) int64 {
	switch {
	case mayMark(content):
		return memory(content, mayMark)
	case wide(content):
		return int64(2 * len(content))
	}
	return int64(len(content))
}

// FieldMemory is the same for a field without a marker, which may be in any document.
func FieldMemory(content []byte) int64 {
	return memory(content, func([]byte) bool { return true })
}

// memory is what reading the documents takes that are read.
func memory(content []byte, read func([]byte) bool) int64 {
	if len(content) > MaxSize {
		return int64(len(content))
	}
	largest := 0
	for _, d := range splitDocuments(content) {
		if text := d.text(content); len(text) <= MaxDocument && read(text) {
			largest = max(largest, 4*len(text)+min(nodesOf(text), maxNodes)*costOfNode)
		}
	}
	return int64(len(content) + largest)
}

// costOfNode is what a parsed value takes: about 200 bytes, and its comments.
const costOfNode = 256

// byteOrderMark may start a file; the parser does not count it as a column.
var byteOrderMark = []byte("\xEF\xBB\xBF")

// Scan finds the markers of a file, in order. It depends on the content only,
// so its result may be kept for as long as the content's hash. Of a file or a
// document that is too large, or in another encoding than UTF-8, only the first
// marker is reported.
func Scan(content []byte) []Marker {
	if !mayMark(content) {
		return scanEncoded(content)
	}
	if len(content) > MaxSize {
		return firstMarker(content, document{first: 1, end: len(content)}, TooLarge)
	}
	markers := scanDocuments(content)
	if len(markers) == 0 {
		return nil
	}
	all := encrypted(content)
	for i, m := range markers {
		if m.Skip == "" && (all || strings.HasPrefix(m.Value, "ENC[")) {
			markers[i].Skip = Encrypted
		}
	}
	return markers
}

func scanDocuments(content []byte) []Marker {
	var markers []Marker
	for _, d := range splitDocuments(content) {
		switch text := d.text(content); {
		case !mayMark(text):
		case len(text) > MaxDocument || nodesOf(text) > maxNodes:
			markers = append(markers, firstMarker(content, d, TooLarge)...)
		default:
			markers = append(markers, scanDocument(d.lines(content), text)...)
		}
	}
	return markers
}

// firstMarker reports the line of the first marker, found without keeping any.
func firstMarker(content []byte, d document, why Reason) []Marker {
	number := d.first
	for start := d.start; start < d.end; number++ {
		length, width := nextBreak(content[start:d.end])
		if mayMark(content[start : start+length]) {
			return []Marker{{Line: number, Skip: why}}
		}
		start += length + width
	}
	return nil
}

// scanDocument reads a document, block scalars included.
func scanDocument(lines []line, text []byte) []Marker {
	markers := scanLines(lines, text, 0)
	slices.SortFunc(markers, func(a, b Marker) int { return cmp.Compare(a.Line, b.Line) })
	return markers
}

// scanLines reads the lines first and then asks the parser, if there is
// anything to ask it about and it understands the text at all.
func scanLines(lines []line, text []byte, depth int) []Marker {
	own, blocks := splitBlocks(lines)
	markers, above := scanOwn(own)
	wanted := map[int]bool{}
	for _, m := range markers {
		wanted[m.Line] = true
		wanted[above[m.Line].number] = true
	}
	for i := range blocks {
		blocks[i].markers = blocks[i].scan(depth)
		wanted[blocks[i].header.number] = wanted[blocks[i].header.number] || blocks[i].marked()
	}
	if len(markers) == 0 && !slices.ContainsFunc(blocks, block.marked) {
		return nil
	}
	nodes, err := parse(text, lines[0].number, wanted)
	for i := range markers {
		if err != nil {
			skipAmbiguous(&markers[i])
			continue
		}
		if next, ok := above[markers[i].Line]; ok {
			adopt(&markers[i], next, nodes)
		}
		confirm(&markers[i], nodes)
	}
	if err == nil && slices.ContainsFunc(markers, Marker.unexplained) {
		a := newAdoption(nodes, markers, lines, blocks)
		a.flat = depth == 0
		for i := range markers {
			a.adopt(&markers[i])
		}
	}
	for _, b := range blocks {
		markers = append(markers, b.confirmed(nodes, err)...)
	}
	return markers
}

// scanOwn reads the lines that are not in a block scalar. Of a marker on a line
// of its own it also tells what line follows: that may be its value.
func scanOwn(lines []line) (markers []Marker, above map[int]line) {
	above = map[int]line{}
	for i, l := range lines {
		m, found := scanLine(l)
		if !found {
			continue
		}
		markers = append(markers, m)
		if m.Skip == OwnLine && i+1 < len(lines) && lines[i+1].number == l.number+1 && !mayMark(lines[i+1].text) {
			above[l.number] = lines[i+1]
		}
	}
	return markers, above
}

// scanLine reads a line on its own.
func scanLine(l line) (Marker, bool) {
	if !mayMark(l.text) {
		return Marker{}, false
	}
	l = l.withoutMark()
	comment := commentStart(l.text)
	if comment < 0 {
		return hidden(l)
	}
	m := Marker{Line: l.number}
	var found bool
	if m.Setter, m.Skip, found = readComment(l.text[comment:]); !found {
		return Marker{}, false
	}
	if m.Setter == (Setter{}) {
		m.Text = shortened(l.text[comment:])
	}
	if skip := m.read(l, comment); m.Skip == "" {
		m.Skip = skip
	}
	return m, true
}

// shortened is a text for people, at most as long as a marker may well be.
func shortened(text []byte) string {
	const most = 120
	return strings.ToValidUTF8(shorten.Bytes(string(text), most, shorten.Dots), "\uFFFD")
}

// hidden finds a marker where the line has no comment: in a text, behind quotes that
// were opened on a line before, or behind what starts a comment in other languages.
func hidden(l line) (Marker, bool) {
	shut := bytes.LastIndexByte(l.text, '}')
	for i := max(0, shut-maxMarker); i < shut; i++ {
		if l.text[i] != '#' || i > 0 && l.text[i-1] == '#' {
			continue
		}
		setter, skip, found := readComment(l.text[i : shut+1])
		switch {
		case !found || skip != "":
		case i > 0 && !isBlank(l.text[i-1]):
			return Marker{Line: l.number, Setter: setter, Skip: NoBlank}, true
		default:
			return Marker{Line: l.number, Setter: setter, Skip: InText}, true
		}
	}
	if foreign := otherComment.Find(l.text); foreign != nil {
		if setter, skip, found := readComment(foreign[bytes.IndexByte(foreign, '{'):]); found && skip == "" {
			return Marker{Line: l.number, Setter: setter, Skip: NotComment}, true
		}
	}
	return Marker{}, false
}

// maxMarker is how many bytes in front of its last brace a marker starts that no comment
// shows: whatever is read again for each # has to be short.
const maxMarker = 1024

// otherComment is a marker behind what starts a comment in C, in HTML and in Lua, and
// behind the full-width number sign of an input method.
var otherComment = regexp.MustCompile(`(?://|<!--|--|\x{FF03})\s*\{\s*"\$imagepolicy"[^{}]*\}`)

// read finds the value on a line whose comment starts at comment.
func (m *Marker) read(l line, comment int) Reason {
	f, skip := readField(l.text, comment)
	if skip != "" {
		return skip
	}
	m.span = span{
		start: l.start + f.start, end: l.start + f.end, style: f.style, tag: f.tag, node: l.number, last: l.number,
		column: utf8.RuneCount(l.text[:f.property]) + 1, certain: f.certain,
	}
	m.Value = unquote(l.text[f.start:f.end], f.style)
	m.site.key = f.key
	return ""
}

// adopt gives a marker on a line of its own the value on the next line, if the
// parser says that the comment belongs to that value and to nothing else: it is
// an item of a sequence, or on a line of its own as well.
func adopt(m *Marker, next line, nodes nodes) {
	comment := commentStart(next.text)
	if comment < 0 {
		comment = len(next.text)
	}
	found := Marker{Line: next.number, Setter: m.Setter}
	if found.read(next, comment) != "" {
		return
	}
	at, ok := nodes.values[position{found.Line, found.span.column}]
	if !ok {
		return
	}
	if setter, skip, is := readComment([]byte(at.node.HeadComment)); is && skip == "" && setter == m.Setter {
		*m = found
	}
}

// confirm checks a marker's value against the node that the parser found there,
// and learns what object it is in. The value of a scalar in a flow collection
// may be followed by a comma that a line alone cannot tell from its text.
func confirm(m *Marker, nodes nodes) {
	at, ok := nodes.values[position{m.Line, m.span.column}]
	if ok {
		m.Object = at.object
		m.site = siteOf(at)
	}
	switch {
	case m.Skip != "":
	case !ok:
		m.Skip = Multiline
	case isBlock(at.node):
		m.Skip = Unsupported
	case at.node.Value == m.Value:
	case at.inFlow && m.span.style == plain && at.node.Value+"," == m.Value:
		m.Value = at.node.Value
		m.span.end--
	default:
		m.Skip = Unsupported
	}
}

// skipAmbiguous skips what is ambiguous when there is no parser to ask: an unusual
// key, a comma that may not belong to the value, a colon that may make it a key.
func skipAmbiguous(m *Marker) {
	if m.Skip != "" {
		return
	}
	if !m.span.certain || (m.span.style == plain && (strings.HasSuffix(m.Value, ",") ||
		strings.HasSuffix(m.Value, ":") || strings.Contains(m.Value, ": "))) {
		m.Skip = Unsupported
	}
}

// withoutMark drops the byte order mark of the file's first line.
func (l line) withoutMark() line {
	if l.start == 0 && bytes.HasPrefix(l.text, byteOrderMark) {
		l.start += len(byteOrderMark)
		l.text = l.text[len(byteOrderMark):]
	}
	return l
}
