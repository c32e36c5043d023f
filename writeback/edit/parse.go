// SPDX-License-Identifier: Apache-2.0

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

// valueNode is a value and where it stands.
type valueNode struct {
	node   *yaml.Node
	object Object
	inFlow bool
	// mapping is what the value is in, and key its key there; nil in a sequence.
	mapping *yaml.Node
	key     string
	// within is the key of the mapping in its own.
	within string
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

// nodes are the values of a text on the wanted lines. Keys are left out.
type nodes struct {
	offset int
	wanted map[int]bool           // by number of the line
	values map[position]valueNode // by where they start
	blocks map[int]valueNode      // block scalars by the line that they start on
	// commented are the values with a comment that may be a marker, in order.
	commented []valueNode
}

// parse finds the values on some lines of a text whose first line has the number
// first.
func parse(text []byte, first int, wanted map[int]bool) (nodes, error) {
	documents, err := decode(text)
	if err != nil {
		return nodes{}, err
	}
	found := nodes{offset: first - 1, wanted: wanted, values: map[position]valueNode{}, blocks: map[int]valueNode{}}
	for _, document := range documents {
		found.add(valueNode{node: document})
	}
	return found, nil
}

// add takes a node and what surrounds it.
func (n *nodes) add(at valueNode) {
	at.inFlow = at.inFlow || at.node.Style&yaml.FlowStyle != 0
	step, first := 1, 0
	switch at.node.Kind {
	case yaml.ScalarNode:
		if mayMark([]byte(commentOf(at.node))) {
			n.commented = append(n.commented, at)
		}
		number := at.node.Line + n.offset
		if !n.wanted[number] {
			return
		}
		n.values[position{number, at.node.Column}] = at
		if isBlock(at.node) {
			n.blocks[number] = at
		}
	case yaml.MappingNode:
		step, first = 2, 1 // values only
		if identity, ok := identify(at.node); ok {
			at.object = identity
		}
	}
	for i := first; i < len(at.node.Content); i += step {
		child := valueNode{node: at.node.Content[i], object: at.object, inFlow: at.inFlow}
		if step == 2 {
			child.mapping, child.key, child.within = at.node, at.node.Content[i-1].Value, at.key
		}
		n.add(child)
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
