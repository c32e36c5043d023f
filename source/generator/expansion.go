// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// expansion is what YAML comes to with aliases written out.
type expansion struct{ values, bytes int64 }

func (e expansion) plus(more expansion) expansion {
	return expansion{e.values + more.values, e.bytes + more.bytes}
}

func (e expansion) check() error {
	if e.values > maxValues || e.bytes > maxExpanded {
		return fmt.Errorf("it has more than %d values, or %d bytes, with aliases written out", maxValues, maxExpanded)
	}
	return nil
}

// add adds a document, before it is decoded by who writes out aliases.
func (e *expansion) add(document []byte) error {
	if most := int64(bytes.Count(document, []byte{'\n'}) + bytes.Count(document, []byte{','}) +
		bytes.Count(document, []byte{'['}) + bytes.Count(document, []byte{'{'})); most > 2*maxValues {
		return expansion{values: most}.check()
	}
	var root yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(document)).Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	more, err := expand(&root, map[*yaml.Node]expansion{}, map[*yaml.Node]bool{})
	if err != nil {
		return err
	}
	*e = e.plus(more)
	return e.check()
}

// expand is what a node comes to. Those that are known are not counted again, and one that is being counted is within itself.
func expand(n *yaml.Node, known map[*yaml.Node]expansion, within map[*yaml.Node]bool) (expansion, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if within[n] {
		return expansion{}, fmt.Errorf("line %d: an alias contains itself", n.Line)
	}
	if e, ok := known[n]; ok {
		return e, nil
	}
	within[n] = true
	defer delete(within, n)
	e := expansion{1, int64(len(n.Value))}
	for _, child := range n.Content {
		more, err := expand(child, known, within)
		if err != nil {
			return expansion{}, err
		}
		if e = e.plus(more); e.check() != nil {
			return expansion{}, e.check()
		}
	}
	known[n] = e
	return e, nil
}
