package edit

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// position is where a node starts, in the whole file: a line and a column of
// runes, both from 1.
type position struct{ line, column int }

// located is a value and where it stands.
type located struct {
	node   *yaml.Node
	object Object
	inFlow bool
}

// decode reads all documents that a stretch of a file holds.
func decode(text []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		document := new(yaml.Node)
		err := decoder.Decode(document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
}

// parse indexes the values of a document by where they start. Keys are left out.
func parse(content []byte, lines []line) (map[position]located, error) {
	documents, err := decode(stretch(content, lines))
	if err != nil {
		return nil, err
	}
	w := walker{offset: lines[0].number - 1, found: map[position]located{}}
	for _, document := range documents {
		w.walk(located{node: document})
	}
	return w.found, nil
}

// stretch is the part of the content that the lines cover.
func stretch(content []byte, lines []line) []byte {
	last := lines[len(lines)-1]
	return content[lines[0].start : last.start+len(last.text)]
}

type walker struct {
	offset int
	found  map[position]located
}

// walk takes a node and what surrounds it.
func (w walker) walk(at located) {
	at.inFlow = at.inFlow || at.node.Style&yaml.FlowStyle != 0
	step, first := 1, 0
	switch at.node.Kind {
	case yaml.ScalarNode:
		w.found[position{at.node.Line + w.offset, at.node.Column}] = at
		return
	case yaml.MappingNode:
		step, first = 2, 1 // values only
		if identity, ok := identify(at.node); ok {
			at.object = identity
		}
	}
	for i := first; i < len(at.node.Content); i += step {
		w.walk(located{at.node.Content[i], at.object, at.inFlow})
	}
}

// identify reads the identity of a mapping that is a Kubernetes object, also
// when it is an item of a List.
func identify(node *yaml.Node) (Object, bool) {
	o := Object{APIVersion: text(node, "apiVersion"), Kind: text(node, "kind")}
	if o.Kind == "" || o.APIVersion == "" {
		return Object{}, false
	}
	if metadata := member(node, "metadata"); metadata != nil {
		o.Name, o.Namespace = text(metadata, "name"), text(metadata, "namespace")
	}
	return o, true
}

// member returns the value of a mapping's key, nil if it has none.
func member(node *yaml.Node, name string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

func text(node *yaml.Node, name string) string {
	if value := member(node, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}
