// SPDX-License-Identifier: Apache-2.0

package build

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// The fields of a JSON patch's operations, and those operations that add nothing but
// their value. Twenty that copy make gigabytes of an object of one line.
var (
	patchFields = []string{"op", "path", "from", "value"}
	additions   = []string{"add", "remove", "replace", "move", "test"}
)

// copies reports whether a patch may copy what is in an object. Only what is plainly
// written is believed not to: there are many spellings of a word in YAML.
func copies(patch []byte) bool {
	var root yaml.Node
	if err := yaml.Unmarshal(patch, &root); err != nil {
		return true // it may be right for another parser
	}
	if root.Kind != yaml.DocumentNode || root.Content[0].Kind != yaml.SequenceNode {
		return false // a merge patch, or nothing
	}
	return slices.ContainsFunc(root.Content[0].Content, func(n *yaml.Node) bool { return !plainOperation(n) })
}

func plainOperation(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !plainly(key, patchFields) || key.Value == "op" && !plainly(value, additions) {
			return false
		}
	}
	return true
}

func plainly(n *yaml.Node, words []string) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!str" && slices.Contains(words, n.Value)
}
