// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// weight is how much memory a file takes when kustomize has decoded it, as numbers of
// documents, YAML nodes and bytes. The largest document counts by itself as well, since
// kustomize holds it twice for a moment.
type weight struct {
	documents, nodes, bytes    int64
	largestNodes, largestBytes int64
	// longest is how many items the longest list of lists and maps has, and squares the
	// sum of the squares of all: where patches merge lists, every item is looked for
	// among all.
	longest, squares int64
}

func (w *weight) add(more weight) {
	w.documents += more.documents
	w.nodes += more.nodes
	w.bytes += more.bytes
	w.largestNodes = max(w.largestNodes, more.largestNodes, more.nodes/max(more.documents, 1))
	w.largestBytes = max(w.largestBytes, more.largestBytes, more.bytes/max(more.documents, 1))
	w.longest = max(w.longest, more.longest)
	w.squares += more.squares
}

// cost is the memory that kustomize needs, as measured with large definitions, a
// thousand Deployments, one long list and one large file of a generator.
func (w weight) cost() int64 {
	return 4<<20 + w.documents<<14 + w.retained() + w.largestNodes*800 + w.largestBytes*8
}

// retained is the part of it that does not end with the look at one document.
func (w weight) retained() int64 { return w.nodes*300 + w.bytes*6 }

// most is how many bytes of JSON the built objects come to, unless something grew that
// nobody could measure. A character can be written with six in JSON.
func (w weight) most() int64 { return 4<<20 + w.bytes*6 + w.nodes*8 }

// decodeCost is what a node needs while it is only looked at.
const decodeCost = 256

// memoryBudget is how a build asks for memory for a moment; see budget.Grant.
type memoryBudget interface {
	Grow(bytes int64) error
	Shrink(bytes int64)
}

// weigh looks at a YAML or JSON stream before kustomize does, which writes out
// every alias: a document of 400 bytes can stand for gigabytes, and one that
// contains itself for no end at all.
//
// What is not YAML weighs its bytes. Kustomize says what is wrong with it.
func (b Bounds) weigh(data []byte, mem memoryBudget) (weight, error) {
	if int64(len(data)) > b.FileBytes {
		return weight{}, tooLarge(b.FileBytes, "bytes in one file", "split the file")
	}
	var total weight
	for _, document := range documents(data) {
		w, err := b.document(document, mem)
		if err != nil {
			return weight{}, err
		}
		total.add(w)
	}
	return total, nil
}

// separator ends a document for kustomize as it does in YAML.
var separator = []byte("\n---")

// documents splits where kustomize does, so that nothing is hidden in what another
// parser takes for one document.
func documents(data []byte) [][]byte {
	var all [][]byte
	for {
		at := bytes.Index(data, separator)
		if at < 0 {
			return append(all, data)
		}
		all = append(all, data[:at+1])
		data = data[at+1:]
	}
}

func (b Bounds) document(data []byte, mem memoryBudget) (weight, error) {
	most := tokens(data)
	if most > 3*b.DocumentNodes {
		return weight{}, b.tooManyNodes()
	}
	if err := mem.Grow(most * decodeCost); err != nil {
		return weight{}, err
	}
	defer mem.Shrink(most * decodeCost)
	total := weight{bytes: int64(len(data))}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil && bytes.ContainsRune(data, '&') && bytes.ContainsRune(data, '*') {
			return weight{}, err // it may have aliases for a more patient parser
		}
		if err != nil {
			total.documents++
			total.nodes += most
			return total, nil
		}
		c := counter{bounds: b, anchors: map[*yaml.Node]*expansion{}}
		e, err := c.count(&root, 0)
		if err != nil {
			return weight{}, err
		}
		total.add(weight{documents: objects(&root), nodes: e.nodes, bytes: e.bytes, longest: e.longest, squares: e.squares})
	}
}

func (b Bounds) tooManyNodes() error {
	return tooLarge(b.DocumentNodes, "values in one YAML document, with aliases written out", "split the document")
}

// tokens is about how many nodes a document can have at most, counted without
// decoding it: a line or an item of flow style has a key and a value, and every dash
// is an item.
func tokens(data []byte) int64 {
	n := int64(3)
	for i, c := range data {
		switch c {
		case '\n', '\r', ',', 0x85, 0xa8, 0xa9: // the last three end line breaks of Unicode
			n += 2
		case '[', '{':
			n++
		case '-', '?':
			if i+1 < len(data) && (data[i+1] == ' ' || data[i+1] == '\t') {
				n++
			}
		}
	}
	return n
}

// expansion is what a node comes to with aliases written out.
type expansion struct {
	nodes, bytes     int64
	longest, squares int64 // as in a weight
	height           int
	done             bool
}

type counter struct {
	bounds  Bounds
	anchors map[*yaml.Node]*expansion
	aliased int64 // values that aliases stood for so far
}

func (c *counter) count(n *yaml.Node, depth int) (expansion, error) {
	if depth > c.bounds.Depth {
		return expansion{}, tooLarge(c.bounds.Depth, "levels of nesting in one YAML document", "nest less")
	}
	if n.Kind == yaml.AliasNode {
		return c.alias(n, depth)
	}
	e := &expansion{nodes: 1, bytes: int64(len(n.Value))}
	if n.Anchor != "" {
		c.anchors[n] = e
	}
	for _, child := range n.Content {
		inner, err := c.count(child, depth+1)
		if err != nil {
			return expansion{}, err
		}
		e.nodes += inner.nodes
		e.bytes += inner.bytes
		e.height = max(e.height, inner.height+1)
		e.longest = max(e.longest, inner.longest)
		e.squares += inner.squares
		if e.nodes > c.bounds.DocumentNodes {
			return expansion{}, c.bounds.tooManyNodes()
		}
		if e.bytes > c.bounds.FileBytes {
			return expansion{}, tooLarge(c.bounds.FileBytes, "bytes in one YAML document, with aliases written out", "split the document")
		}
	}
	e.list(n)
	e.done = true
	return *e, nil
}

// list counts the items of a list that are more than a text or a number.
func (e *expansion) list(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		return
	}
	var items int64
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode {
			items++
		}
	}
	e.longest = max(e.longest, items)
	e.squares += items * items
}

func (c *counter) alias(n *yaml.Node, depth int) (expansion, error) {
	target := c.anchors[n.Alias]
	if target == nil || !target.done {
		return expansion{}, fmt.Errorf("line %d: the alias *%s contains itself", n.Line, n.Value)
	}
	if depth+target.height > c.bounds.Depth {
		return expansion{}, tooLarge(c.bounds.Depth, "levels of nesting in one YAML document", "nest less")
	}
	if c.aliased += target.nodes; c.aliased > c.bounds.Aliased {
		return expansion{}, tooLarge(c.bounds.Aliased, "values that aliases stand for in one YAML document", "write them out")
	}
	return *target, nil
}

// objects is how many objects a document holds: the items of a list are objects of
// their own for kustomize.
func objects(root *yaml.Node) int64 {
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return 1
	}
	content := root.Content[0].Content
	list, items := false, 0
	for i := 0; i+1 < len(content); i += 2 {
		switch content[i].Value {
		case "kind":
			list = strings.HasSuffix(content[i+1].Value, "List")
		case "items":
			items = len(content[i+1].Content)
		}
	}
	if list {
		return int64(max(items, 1))
	}
	return 1
}
