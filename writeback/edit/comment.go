// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A marker need not be on the line on which its value is. The parser says which
// value a comment belongs to; where the value's bytes are, the lines say:
//
//	a: |- # marker        a: &x # marker       a: "text \
//	  value                 value                text" # marker
//
// adoption looks for the values of markers that no line alone explains.
type adoption struct {
	offset int // of the parser's lines
	lines  []line
	blocks map[int]block          // by the line of their header
	owners map[Setter][]valueNode // values that no line explains, in order, by their comment
	tried  map[*yaml.Node]bool    // so that the same text is not read for each of many markers
	flat   bool                   // the lines are as they are in the file, and not those of a block scalar
}

func newAdoption(found nodes, markers []Marker, lines []line, blocks []block) adoption {
	a := adoption{offset: found.offset, lines: lines, blocks: map[int]block{}, owners: map[Setter][]valueNode{}, tried: map[*yaml.Node]bool{}}
	explained := map[*yaml.Node]bool{}
	for _, m := range markers {
		if at, ok := found.values[position{m.span.node, m.span.column}]; ok && m.Skip == "" {
			explained[at.node] = true
		}
	}
	for _, at := range found.commented {
		if explained[at.node] {
			continue
		}
		if setter, skip, is := readComment([]byte(commentOf(at.node))); is && skip == "" {
			a.owners[setter] = append(a.owners[setter], at)
		}
	}
	for _, b := range blocks {
		a.blocks[b.header.number] = b
	}
	return a
}

// adopt gives a marker the value that the parser says its comment belongs to.
func (a adoption) adopt(m *Marker) {
	if !m.unexplained() {
		return
	}
	at, ok := a.ownerOf(*m)
	if !ok {
		return
	}
	found, ok := a.value(at, *m)
	if !ok {
		return
	}
	found.Line, found.Setter, found.Object = m.Line, m.Setter, at.object
	found.site = siteOf(at)
	*m = found
}

// unexplained tells whether the line of a marker alone does not say what its value is.
func (m Marker) unexplained() bool {
	switch m.Skip {
	case NoValue, BlockScalar, Multiline, InText, Flow:
		return true
	}
	return false
}

// ownerOf is the value whose comment a marker is: the last one that starts before
// the end of its line, if its comment is behind it, or else the next one, if there
// are only comments in between. The first marker behind a value is its own.
func (a adoption) ownerOf(m Marker) (valueNode, bool) {
	owners := a.owners[m.Setter]
	next, _ := slices.BinarySearchFunc(owners, m.Line+1, func(at valueNode, line int) int {
		return cmp.Compare(at.node.Line+a.offset, line)
	})
	if next > 0 && owners[next-1].node.LineComment != "" && !a.tried[owners[next-1].node] {
		a.tried[owners[next-1].node] = true
		if a.endsOn(owners[next-1], m) {
			return owners[next-1], true
		}
	}
	if next < len(owners) && a.nothingBetween(m.Line, owners[next].node.Line+a.offset) {
		return owners[next], true
	}
	return valueNode{}, false
}

// nothingBetween tells whether the lines between two have comments at most.
func (a adoption) nothingBetween(after, before int) bool {
	first := a.lines[0].number
	for number := after + 1; number < before; number++ {
		if text := bytes.TrimSpace(a.lines[number-first].text); len(text) > 0 && text[0] != '#' {
			return false
		}
	}
	return true
}

// endsOn tells whether a marker may be the comment of a value: of one that starts on
// its line, or that does not end before it.
func (a adoption) endsOn(at valueNode, m Marker) bool {
	if at.node.Line+a.offset == m.Line {
		return true
	}
	value, ok := a.value(at, m)
	return ok && value.span.last == m.Line
}

// commentOf is the comment of a value that Flux looks at.
func commentOf(n *yaml.Node) string {
	if n.LineComment != "" {
		return n.LineComment
	}
	return n.HeadComment
}

// value finds the bytes of a value.
func (a adoption) value(at valueNode, m Marker) (Marker, bool) {
	i := at.node.Line + a.offset - a.lines[0].number
	if i >= len(a.lines) {
		return Marker{}, false
	}
	begins := a.lines[i].withoutMark()
	from, ok := columnOf(begins.text, at.node.Column)
	if !ok {
		return Marker{}, false
	}
	value := Marker{span: span{node: begins.number, far: true}}
	if isBlock(at.node) {
		return a.blockValue(value, at, m)
	}
	i, from, value.span.tag, ok = a.skipProperties(i, from)
	if !ok {
		return Marker{}, false
	}
	return a.flowValue(value, at, m, i, from)
}

// columnOf is the byte at which a column of runes starts.
func columnOf(text []byte, column int) (int, bool) {
	at := 0
	for range column - 1 {
		if at >= len(text) {
			return 0, false
		}
		_, width := utf8.DecodeRune(text[at:])
		at += width
	}
	return at, at < len(text)
}

// skipProperties goes on from a value's anchor and tag to the value, past comments
// and lines that have nothing else.
func (a adoption) skipProperties(i, from int) (line, start int, tag string, ok bool) {
	for i < len(a.lines) {
		text := a.lines[i].withoutMark().text
		from = skipBlanks(text, from)
		switch {
		case from >= len(text), text[from] == '#':
			i, from = i+1, 0
			continue
		case text[from] != '&' && text[from] != '!':
			return i, from, tag, true
		}
		end := from
		for !endsWord(text, end) {
			end++
		}
		if text[from] == '!' {
			tag = shortTag(text[from:end])
		}
		from = end
	}
	return 0, 0, "", false
}

// flowValue is a value in quotes or without, on one line or more.
func (a adoption) flowValue(value Marker, at valueNode, m Marker, i, from int) (Marker, bool) {
	last, end, style := a.endOf(i, from, m)
	if line := a.lines[i].withoutMark().text; at.inFlow && style == plain && bytes.HasPrefix(line[from:], []byte(at.node.Value)) {
		last, end = i, from+len(at.node.Value) // what is behind it is of the collection
	}
	if last < 0 || last > i && !a.flat {
		return Marker{}, false
	}
	first := a.lines[i].withoutMark()
	value.span.start, value.span.style = first.start+from, style
	value.span.end = a.lines[last].withoutMark().start + end
	value.span.dropped, value.span.last = last-i, a.lines[last].number
	value.Value = strings.TrimRight(at.node.Value, "\n")
	return value, a.reads(at.node, i, from, last, end) && oneLine(value.Value)
}

// endOf finds the end of a value that starts at a byte of a line. One without
// quotes ends in front of its marker, or is on one line.
func (a adoption) endOf(i, from int, m Marker) (last, end int, s style) {
	text := a.lines[i].withoutMark().text
	if quote := text[from]; quote == '"' || quote == '\'' {
		for last, at := i, from+1; last < len(a.lines); last, at = last+1, 0 {
			text := a.lines[last].withoutMark().text
			if end, ok := closing(text, at, quote); ok {
				return last, end, map[byte]style{'"': double, '\'': single}[quote]
			}
		}
		return -1, 0, plain
	}
	last = max(i, m.Line-a.lines[0].number)
	if last >= len(a.lines) {
		return -1, 0, plain
	}
	text = a.lines[last].withoutMark().text
	if last > i {
		from = 0
	}
	if comment := commentStart(text); comment >= 0 {
		text = text[:comment]
	}
	if from > len(text) {
		return -1, 0, plain
	}
	return last, len(bytes.TrimRight(text, " \t")), plain
}

// closing finds the end of quotes that are open at a byte.
func closing(text []byte, at int, quote byte) (int, bool) {
	for ; at < len(text); at++ {
		switch {
		case quote == '"' && text[at] == '\\':
			at++
		case text[at] != quote:
		case quote == '\'' && at+1 < len(text) && text[at+1] == quote:
			at++
		default:
			return at + 1, true
		}
	}
	return 0, false
}

// reads asks the parser whether the bytes by themselves are the value.
func (a adoption) reads(n *yaml.Node, i, from, last, end int) bool {
	var text bytes.Buffer
	for at := i; at <= last; at++ {
		l := a.lines[at].withoutMark().text
		if at == last {
			l = l[:end]
		}
		if at == i {
			l = l[from:]
		}
		if at > i {
			text.WriteString("\n ")
		}
		text.Write(l)
	}
	var read yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &read); err != nil || len(read.Content) != 1 {
		return false
	}
	is := read.Content[0]
	return is.Kind == yaml.ScalarNode && is.Value == n.Value && len(is.Content) == 0
}

// blockValue is the text of a block scalar that is one line, as it reads.
func (a adoption) blockValue(value Marker, at valueNode, m Marker) (Marker, bool) {
	value.Value = strings.TrimRight(at.node.Value, "\n")
	if !oneLine(value.Value) {
		return Marker{}, false
	}
	b, ok := a.blocks[m.Line]
	if !ok || m.Line != value.span.node || b.mayMark() {
		return Marker{}, false
	}
	return b.single(value, a.flat)
}

// single finds the lines of a block that reads as one.
func (b block) single(value Marker, flat bool) (Marker, bool) {
	first, last := -1, -1
	for i, l := range b.lines {
		if len(bytes.TrimSpace(l.text)) > 0 {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 || last > first && !flat {
		return Marker{}, false
	}
	from, to := b.lines[first], b.lines[last]
	indent := len(from.text) - len(bytes.TrimLeft(from.text, " "))
	indent -= len(value.Value) - len(strings.TrimLeft(value.Value, " ")) // >2 leaves spaces to the value
	value.span.start, value.span.end = from.start+indent, to.start+len(to.text)
	value.span.dropped, value.span.last = last-first, to.number
	value.span.style = blockText
	return value, true
}

func oneLine(text string) bool { return text != "" && !strings.Contains(text, "\n") }
