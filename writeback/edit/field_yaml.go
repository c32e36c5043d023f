// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// yamlFormat finds fields with the parser, and their bytes with the scanner: both
// have to read the same value.
type yamlFormat struct{}

func (yamlFormat) encrypted(content []byte) bool { return encrypted(content) }

// read parses each document that may have a target once.
func (yamlFormat) read(content []byte, targets []target) fileValues {
	r := fileValues{places: make([]valueLocation, len(targets))}
	for i := range r.places {
		r.places[i].why = MissingField
	}
	documents := splitDocuments(content)
	for _, d := range documents {
		var wanted []int
		for i, t := range targets {
			if t.path.mayBeIn(d.text(content)) && (r.places[i].why == "" || r.places[i].why == MissingField) {
				wanted = append(wanted, i)
			}
		}
		if len(wanted) > 0 {
			r.readDocument(content, d, targets, wanted)
		}
	}
	r.document.count = len(documents)
	return r
}

// readDocument finds the places of the wanted targets that are in a document.
func (r *fileValues) readDocument(content []byte, d document, targets []target, wanted []int) {
	nodes, why := decodeBounded(d.text(content))
	for _, i := range wanted {
		if why != "" {
			r.places[i] = valueLocation{why: why}
			continue
		}
		var found []valueNode
		for _, node := range nodes {
			found = append(found, targets[i].path.find(valueNode{node: node})...)
		}
		switch {
		case len(found) == 0:
		case len(found) > 1 || r.places[i].why == "":
			r.places[i] = valueLocation{why: AmbiguousField}
		case r.document.nodes != nil && r.document.first != d.first:
			r.places[i] = valueLocation{why: Scattered}
		default:
			r.document.first, r.document.nodes = d.first, nodes
			r.places[i] = targets[i].place(content, d, found[0])
		}
	}
}

// decodeBounded reads a document that is not too large.
func decodeBounded(text []byte) ([]*yaml.Node, Reason) {
	if len(text) > MaxDocument || nodesOf(text) > maxNodes {
		return nil, TooLarge
	}
	nodes, err := decode(text)
	if err != nil {
		return nil, NotYAML
	}
	return nodes, ""
}

// scalarOf is the text of a mapping's key, empty if it is null.
func scalarOf(mapping *yaml.Node, key string) string {
	if node := member(mapping, key); node != nil && node.ShortTag() == "!!null" {
		return ""
	}
	return text(mapping, key)
}

func (yamlFormat) write(at span, value string) (string, Reason) {
	if !at.writable(value) {
		return "", Tagged
	}
	return at.text(value), ""
}

// onlyChanged compares the documents that have the places; the others have the same bytes.
func (yamlFormat) onlyChanged(before, after fileValues, outcomes []MarkerResult) bool {
	was, is := before.document, after.document
	if was.count != is.count || was.first != is.first {
		return false
	}
	return newComparison(was.first, outcomes).sameNodes(was.nodes, is.nodes)
}

// ordinaryWord is a key or value that has no other form but one with escapes.
var ordinaryWord = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// mayBeIn tells whether a text can have the path at all, before it is parsed.
func (p fieldPath) mayBeIn(text []byte) bool {
	if bytes.IndexByte(text, '\\') >= 0 {
		return true // a key with escapes
	}
	for _, word := range p.words() {
		if ordinaryWord.MatchString(word) && !bytes.Contains(text, []byte(word)) {
			return false
		}
	}
	return true
}

// find returns the values at a path, the aliases on the way included.
func (p fieldPath) find(at valueNode) []valueNode {
	if at.node.Kind == yaml.DocumentNode {
		if len(at.node.Content) == 0 {
			return nil
		}
		at.node = at.node.Content[0]
	}
	if identity, ok := identify(at.node); ok {
		at.object = identity
	}
	if len(p) == 0 || at.node.Kind == yaml.AliasNode {
		return []valueNode{at}
	}
	var found []valueNode
	for _, child := range p[0].children(at) {
		found = append(found, p[1:].find(child)...)
	}
	return found
}

// children are what a step leads to.
func (s step) children(at valueNode) []valueNode {
	var children []valueNode
	content := at.node.Content
	switch {
	case s.key != "" && at.node.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(content); i += 2 {
			if content[i].Kind == yaml.ScalarNode && content[i].Value == s.key {
				children = append(children, valueNode{node: content[i+1], object: at.object, mapping: at.node, key: s.key})
			}
		}
	case s.key != "" || at.node.Kind != yaml.SequenceNode:
	case s.by != "":
		for _, item := range content {
			if by := member(item, s.by); by != nil && by.Kind == yaml.ScalarNode && by.Value == s.value {
				children = append(children, valueNode{node: item, object: at.object})
			}
		}
	case s.index < len(content):
		children = append(children, valueNode{node: content[s.index], object: at.object})
	}
	return children
}

// place finds the bytes of a value that the parser found in a document.
func (t target) place(content []byte, d document, at valueNode) valueLocation {
	p, why := placeOf(content, d, at)
	p.why = why
	if t.split && at.mapping != nil {
		p.registry = strings.TrimSuffix(scalarOf(at.mapping, "registry"), "/")
	}
	return p
}

func placeOf(content []byte, d document, at valueNode) (valueLocation, Reason) {
	number := d.first + at.node.Line - 1
	p := valueLocation{object: at.object, site: siteOf(at), span: span{node: number, last: number}}
	switch {
	case at.node.Kind == yaml.AliasNode:
		return p, Alias
	case at.node.Kind != yaml.ScalarNode:
		return p, NotScalar
	case isBlock(at.node):
		return p, BlockScalar
	}
	lines := d.lines(content)
	if at.node.Line < 1 || at.node.Line > len(lines) {
		return p, Unsupported
	}
	l := lines[at.node.Line-1].withoutMark()
	column, ok := byteOf(l.text, at.node.Column)
	if !ok {
		return p, EmptyField
	}
	start, tag := skipProperties(l.text, column)
	style, end, why := endOf(l.text, start, at.node)
	if why != "" {
		return p, why
	}
	p.value = at.node.Value
	if at.node.ShortTag() == "!!null" {
		p.value = ""
	}
	p.span.start, p.span.end, p.span.style, p.span.tag = l.start+start, l.start+end, style, tag
	return p, ""
}

// byteOf is the position of a column, which counts runes from 1.
func byteOf(text []byte, column int) (int, bool) {
	at := 0
	for ; column > 1 && at < len(text); column-- {
		_, width := utf8.DecodeRune(text[at:])
		at += width
	}
	return at, column == 1 && at < len(text)
}

// endOf is where the scalar that starts on a line ends there, if its bytes stand for
// the value that the parser read.
func endOf(text []byte, start int, node *yaml.Node) (style, int, Reason) {
	if node.Value == "" && node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
		return plain, 0, EmptyField
	}
	if start >= len(text) {
		return plain, 0, Multiline
	}
	quoted, end := scanScalar(text, start, len(text))
	if quoted == plain {
		if !bytes.HasPrefix(text[start:], []byte(node.Value)) {
			return plain, 0, Multiline
		}
		return plain, start + len(node.Value), ""
	}
	switch {
	case end < 0:
		return quoted, 0, Multiline
	case unquote(text[start:end], quoted) != node.Value:
		return quoted, 0, Unsupported
	}
	return quoted, end, ""
}
