// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// IgnoreRule says which fields of which objects somebody else sets.
type IgnoreRule struct {
	// Paths are JSON pointers (RFC 6901).
	Paths []string
	// Target selects objects by regular expressions and label selectors; nil is all.
	Target *kustomize.Selector
}

// Bounds of the ignore rules of one owner, which are asked of each change of its objects.
const (
	maxIgnoredPaths = 1000
	maxPathLength   = 1000
	// maxSelectorSize is for all expressions together: while they are matched with a name,
	// which has up to 253 letters, news of other objects waits.
	maxSelectorSize = 2 * pattern.MaxSize
)

// Pointer is a JSON pointer, one string a level.
type Pointer []string

// compiledIgnoreRule is an [IgnoreRule] that was compiled.
type compiledIgnoreRule struct {
	paths                                 []Pointer
	group, version, kind, namespace, name pattern.Pattern
	labels, annotations                   labels.Selector
}

func compileIgnoreRules(profile *decide.Profile, rules []IgnoreRule) ([]compiledIgnoreRule, error) {
	paths, size := 0, 0
	compiled := make([]compiledIgnoreRule, 0, len(rules))
	for i, rule := range rules {
		if paths += len(rule.Paths); paths > maxIgnoredPaths {
			return nil, fmt.Errorf("there are more than %d paths in all: name their common parents", maxIgnoredPaths)
		}
		c := compiledIgnoreRule{}
		for j, text := range rule.Paths {
			pointer, err := parsePointer(text)
			if err != nil {
				return nil, fmt.Errorf("%s[%d].paths[%d] (%.100s): %w", profile.IgnoreField, i, j, text, err)
			}
			c.paths = append(c.paths, pointer)
		}
		more, err := c.target(rule.Target)
		if err != nil {
			return nil, fmt.Errorf("%s[%d].target.%w", profile.IgnoreField, i, err)
		}
		if size += more; size > maxSelectorSize {
			return nil, fmt.Errorf("%w: all targets together", pattern.ErrTooLarge)
		}
		compiled = append(compiled, c)
	}
	return compiled, nil
}

// target compiles a selector, and returns the size of its expressions.
func (c *compiledIgnoreRule) target(target *kustomize.Selector) (size int, err error) {
	if target == nil {
		target = &kustomize.Selector{}
	}
	for _, e := range []struct {
		name, text string
		to         *pattern.Pattern
	}{
		{"group", target.Group, &c.group},
		{"version", target.Version, &c.version},
		{"kind", target.Kind, &c.kind},
		{"namespace", target.Namespace, &c.namespace},
		{"name", target.Name, &c.name},
	} {
		if e.text == "" {
			continue
		}
		if *e.to, err = pattern.Compile("^(?:" + e.text + ")$"); err != nil {
			return 0, fmt.Errorf("%s: %w", e.name, err)
		}
		size += e.to.Size
	}
	if c.labels, err = labels.Parse(target.LabelSelector); err != nil {
		return 0, fmt.Errorf("labelSelector: %w", err)
	}
	if c.annotations, err = labels.Parse(target.AnnotationSelector); err != nil {
		return 0, fmt.Errorf("annotationSelector: %w", err)
	}
	return size, nil
}

func (c *compiledIgnoreRule) matches(gvk schema.GroupVersionKind, obj metav1.Object) bool {
	for _, e := range []struct {
		expression pattern.Pattern
		text       string
	}{
		{c.group, gvk.Group}, {c.version, gvk.Version}, {c.kind, gvk.Kind},
		{c.namespace, obj.GetNamespace()}, {c.name, obj.GetName()},
	} {
		if e.expression.Regexp != nil && !e.expression.MatchString(e.text) {
			return false
		}
	}
	return c.labels.Matches(labels.Set(obj.GetLabels())) && c.annotations.Matches(labels.Set(obj.GetAnnotations()))
}

// Ignored are the fields of an object that somebody else sets.
func (r *Rules) Ignored(gvk schema.GroupVersionKind, obj metav1.Object) []Pointer {
	if r == nil {
		return nil
	}
	var paths []Pointer
	for i := range r.ignore {
		if r.ignore[i].matches(gvk, obj) {
			paths = append(paths, r.ignore[i].paths...)
		}
	}
	return paths
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

func parsePointer(text string) (Pointer, error) {
	switch {
	case text == "":
		return nil, errors.New("it is the whole object: annotate that with ssa: Ignore instead")
	case len(text) > maxPathLength:
		return nil, fmt.Errorf("it has more than %d bytes", maxPathLength)
	case text[0] != '/':
		return nil, errors.New("a JSON pointer begins with /, such as /spec/replicas")
	}
	levels := strings.Split(text[1:], "/")
	for i := range levels {
		levels[i] = unescape.Replace(levels[i])
	}
	switch levels[0] {
	case "apiVersion", "kind":
		return nil, errors.New("without it there is no object")
	}
	if len(levels) > 1 && levels[0] == "metadata" && (levels[1] == "name" || levels[1] == "namespace") || text == "/metadata" {
		return nil, errors.New("without it there is no object")
	}
	return levels, nil
}

// Get returns the value at a path, if there is one.
func (p Pointer) Get(value any) (any, bool) {
	for _, level := range p {
		switch in := value.(type) {
		case map[string]any:
			next, ok := in[level]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, ok := index(level, in)
			if !ok {
				return nil, false
			}
			value = in[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// Set changes the value at a path that there is in an object.
func (p Pointer) Set(object map[string]any, to any) {
	parent, _ := p[:len(p)-1].Get(object)
	switch in := parent.(type) {
	case map[string]any:
		in[p[len(p)-1]] = to
	case []any:
		if i, ok := index(p[len(p)-1], in); ok {
			in[i] = to
		}
	}
}

// Remove takes the value at a path out of an object, if there is one. An item of a list
// is taken out of the list only if it is the last level.
func (p Pointer) Remove(object map[string]any) {
	last := p[len(p)-1]
	parent, _ := p[:len(p)-1].Get(object)
	switch in := parent.(type) {
	case map[string]any:
		delete(in, last)
	case []any:
		if i, ok := index(last, in); ok {
			p[:len(p)-1].Set(object, append(append([]any{}, in[:i]...), in[i+1:]...))
		}
	}
}

func index(level string, list []any) (int, bool) {
	i, err := strconv.Atoi(level)
	return i, err == nil && i >= 0 && i < len(list)
}

// fieldSet is a decoded FieldsV1.
type fieldSet map[string]any

// otherApplied reports whether a field manager other than ours applied the field at a path.
func otherApplied(live *unstructured.Unstructured, p Pointer, ours string) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == ours || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields fieldSet
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) == nil && fields.cut(p, live.Object) {
			return true
		}
	}
	return false
}

// cut takes the field at a path out of a set, and what is empty without it, and reports
// whether it was there. Items of lists are found by their keys: value is what the set is
// about, nil if that is not known.
func (s fieldSet) cut(p Pointer, value any) bool {
	found := false
	for _, name := range s.names(p[0], value) {
		if len(p) == 1 {
			delete(s, name)
			found = true
			continue
		}
		below, _ := s[name].(map[string]any)
		next, _ := p[:1].Get(value)
		if len(below) > 0 && fieldSet(below).cut(p[1:], next) {
			found = true
			if len(below) == 0 {
				delete(s, name)
			}
		}
	}
	return found
}

// names are those by which a set knows one level of a path: a field, or an item of a list
// by its keys, its value or its index.
func (s fieldSet) names(level string, value any) []string {
	var names []string
	list, isList := value.([]any)
	if !isList {
		if _, ok := s["f:"+level]; ok {
			names = append(names, "f:"+level)
		}
		return names
	}
	i, ok := index(level, list)
	if !ok {
		return nil
	}
	for name := range s {
		kind, text, _ := strings.Cut(name, ":")
		switch kind {
		case "i":
			ok = text == level
		case "v":
			var item any
			ok = json.Unmarshal([]byte(text), &item) == nil && fmt.Sprint(item) == fmt.Sprint(list[i])
		case "k":
			ok = hasKeys(list[i], text)
		default:
			ok = false
		}
		if ok {
			names = append(names, name)
		}
	}
	return names
}

// hasKeys reports whether an item has the values that a key of a list names.
func hasKeys(item any, key string) bool {
	var want map[string]any
	has, ok := item.(map[string]any)
	if !ok || json.Unmarshal([]byte(key), &want) != nil {
		return false
	}
	for name, value := range want {
		if fmt.Sprint(has[name]) != fmt.Sprint(value) {
			return false
		}
	}
	return len(want) > 0
}

// Adopt makes an object of the source leave the ignored fields of the live one as they
// are. What another manager applied is left out; of the rest, the live value is applied,
// since nobody would own it otherwise, and the API server would take it away. It changes
// source.
func Adopt(ignored []Pointer, source, live *unstructured.Unstructured, ours string) {
	for _, p := range ignored {
		want, wanted := p.Get(source.Object)
		has, found := p.Get(live.Object)
		switch {
		case !wanted, found && sameJSON(want, has):
		case !found, otherApplied(live, p, ours):
			p.Remove(source.Object)
		default:
			p.Set(source.Object, has)
		}
	}
}

func sameJSON(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}
