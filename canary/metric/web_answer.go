// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// checkJSONPath refuses what can only be a mistake. Text outside of braces is what
// kubectl prints as it is: as a number it would be one that nobody measured. And
// paths that visit the same value again and again can be made to never end.
func checkJSONPath(path string) error {
	if path == "" {
		return nil
	}
	parsed, err := jsonpath.Parse("jsonPath", path)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if len(parsed.Root.Nodes) == 0 {
		return fmt.Errorf("%q is not a path in braces such as {.data.value}", path)
	}
	check := &pathCheck{path: path}
	return check.list(parsed.Root)
}

// pathCheck walks through a path.
type pathCheck struct {
	path     string
	filters  int // that the walk is inside of, where texts and numbers are compared with
	descents int
}

func (p *pathCheck) list(list *jsonpath.ListNode) error {
	for _, node := range list.Nodes {
		if err := p.node(node); err != nil {
			return err
		}
	}
	return nil
}

func (p *pathCheck) node(node jsonpath.Node) error {
	switch n := node.(type) {
	case *jsonpath.ListNode:
		return p.list(n)
	case *jsonpath.FilterNode:
		p.filters++
		defer func() { p.filters-- }()
		if err := p.list(n.Left); err != nil {
			return err
		}
		return p.list(n.Right)
	case *jsonpath.UnionNode:
		return fmt.Errorf("%q names several values with [a,b], and there must be one", p.path)
	case *jsonpath.RecursiveNode:
		if p.descents++; p.descents > 1 {
			return fmt.Errorf("%q descends with .. more than once", p.path)
		}
	case *jsonpath.TextNode, *jsonpath.IntNode, *jsonpath.FloatNode, *jsonpath.BoolNode:
		if p.filters == 0 {
			return fmt.Errorf("%q is not a path in braces such as {.data.value}", p.path)
		}
	}
	return nil
}

// maxNested is how deep an answer may nest. A path that descends with .. copies all
// that it has found at every level on the way back.
const maxNested = 64

// nested is how deep JSON nests.
func nested(body []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']', c == '}':
			depth--
		}
	}
	return deepest
}

// decodeWeb picks the number out of an answer: the answer itself without a path.
func decodeWeb(body []byte, path string) (float64, error) {
	var answer any
	if json.Unmarshal(body, &answer) != nil {
		return 0, errors.New("the server's answer is not JSON")
	}
	if path == "" {
		return plain(answer)
	}
	if nested(body) > maxNested {
		return 0, fmt.Errorf("the server's answer nests more than %d deep, where jsonPath is not followed", maxNested)
	}
	found, err := follow(path, answer)
	switch {
	case err != nil && strings.Contains(err.Error(), "out of bounds"):
		return 0, ErrNoValues // an empty list has no first item
	case err != nil:
		return 0, errors.New("jsonPath does not fit the server's answer") // the library's error quotes it
	}
	var result singleValue
	for _, item := range found {
		if err := result.read(plain(item)); err != nil {
			return 0, err
		}
	}
	return result.get()
}

// follow returns what a path leads to. The library is that of kubectl, where a
// panic costs one command; here it would cost every canary of the cluster.
func follow(path string, answer any) (found []any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			found, err = nil, fmt.Errorf("the path and the answer do not go together: %v", reason)
		}
	}()
	// A parsed path keeps state while it looks for results, so that it cannot be
	// shared.
	finder := jsonpath.New("jsonPath").AllowMissingKeys(true)
	if err := finder.Parse(path); err != nil {
		return nil, err
	}
	results, err := finder.FindResults(answer)
	if err != nil {
		return nil, err
	}
	for _, list := range results {
		for _, item := range list {
			if item.IsValid() && item.CanInterface() {
				found = append(found, item.Interface())
			}
		}
	}
	return found, nil
}

// plain turns what JSON has into a number; true is 1.
func plain(value any) (float64, error) {
	switch v := value.(type) {
	case nil:
		return 0, ErrNoValues
	case float64:
		return v, nil
	case string:
		return parseNumber(v)
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	default:
		return 0, errors.New("the answer has a list or an object where a number should be: spec.provider.jsonPath must lead to one")
	}
}
