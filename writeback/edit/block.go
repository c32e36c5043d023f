// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// block is a block scalar: the text behind a "|" or ">". A literal one that
// holds YAML, such as a patch of a kustomization or a file in a ConfigMap, is
// read like a file of its own; in a folded one the comment is not the end of a
// line, so it is left alone.
type block struct {
	header  line
	lines   []line
	parent  int // columns of the parent: the content is indented more
	markers []Marker
}

// splitBlocks separates the contents of block scalars from the other lines.
func splitBlocks(lines []line) (own []line, blocks []block) {
	var tracker blockTracker
	for i, l := range lines {
		if !tracker.next(l.text) {
			own = append(own, l)
			continue
		}
		if n := len(blocks); n == 0 || blocks[n-1].lines[len(blocks[n-1].lines)-1].number != l.number-1 {
			blocks = append(blocks, block{header: lines[i-1], parent: tracker.parent})
		}
		last := &blocks[len(blocks)-1]
		last.lines = append(last.lines, l)
	}
	return own, blocks
}

func (b block) marked() bool { return len(b.markers) > 0 }

// scan finds the markers in the block. Where it cannot be read they are only
// counted, so that every one of them gets a reason.
func (b block) scan(depth int) []Marker {
	if !b.mayMark() {
		return nil
	}
	inner, ok := b.inner()
	switch {
	case ok && depth < maxDepth:
		return scanLines(inner, join(inner), depth+1)
	case b.isFolded():
		return b.skipped(Folded)
	}
	return b.skipped(Multiline)
}

func (b block) mayMark() bool {
	for _, l := range b.lines {
		if mayMark(l.text) {
			return true
		}
	}
	return false
}

func (b block) skipped(why Reason) []Marker {
	var markers []Marker
	for _, l := range b.lines {
		if m, found := scanLine(l); found {
			markers = append(markers, Marker{Line: m.Line, Setter: m.Setter, Skip: why})
		}
	}
	return markers
}

// confirmed are the markers of the block. It asks the parser whether there is a literal here with the lines that
// were read. Where it cannot say, the lines stand for themselves.
func (b block) confirmed(nodes nodes, err error) []Marker {
	if err != nil || !b.marked() {
		return b.markers
	}
	at, ok := nodes.blocks[b.header.number]
	inner, _ := b.inner()
	agrees := ok && at.node.Style&yaml.LiteralStyle != 0 &&
		strings.TrimRight(at.node.Value, "\n") == strings.TrimRight(string(join(inner)), "\n")
	for i := range b.markers {
		m := &b.markers[i]
		if m.Skip == "" && !agrees {
			m.Skip = Multiline
		}
		if ok && m.Object == (Object{}) {
			m.Object = at.object
		}
	}
	return b.markers
}

// literalHeader is a line that can only start a literal block scalar: after
// dashes, an ordinary key or both.
var literalHeader = regexp.MustCompile(
	`^[ \t]*(-[ \t]+)*(([A-Za-z0-9_./-]+|"[^"\\]*"|'[^']*')[ \t]*:[ \t]+)?(&[^ \t]+[ \t]+|!!str[ \t]+)*\|([-+]?[1-9]?[-+]?)[ \t]*$`)

// inner are the lines of a literal block without their indentation.
func (b block) inner() ([]line, bool) {
	header := b.header.withoutMark().text
	if end := commentStart(header); end >= 0 {
		header = header[:end]
	}
	found := literalHeader.FindSubmatch(header)
	if found == nil {
		return nil, false
	}
	indent := b.indent(bytes.Trim(found[len(found)-1], "+-"))
	lines := make([]line, 0, len(b.lines))
	for _, l := range b.lines {
		cut := min(indent, len(l.text))
		if len(bytes.TrimLeft(l.text[:cut], " ")) > 0 {
			return nil, false
		}
		lines = append(lines, line{number: l.number, start: l.start + cut, text: l.text[cut:]})
	}
	return lines, true
}

// indent is the number of columns that every line of the block starts with: that
// of the first line that is not empty, or what the header says.
func (b block) indent(indicator []byte) int {
	if len(indicator) == 1 {
		return b.parent + int(indicator[0]-'0')
	}
	for _, l := range b.lines {
		if rest := bytes.TrimLeft(l.text, " "); len(rest) > 0 {
			return len(l.text) - len(rest)
		}
	}
	return 0
}

func (b block) isFolded() bool {
	header := b.header.text
	if end := commentStart(header); end >= 0 {
		header = header[:end]
	}
	words := bytes.Fields(header)
	return len(words) > 0 && words[len(words)-1][0] == '>'
}

// join is the text of the lines, with line feeds between them.
func join(lines []line) []byte {
	var text bytes.Buffer
	for _, l := range lines {
		text.Write(l.text)
		text.WriteByte('\n')
	}
	return text.Bytes()
}

// isBlock tells whether a node is a block scalar.
func isBlock(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
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
