// SPDX-License-Identifier: Apache-2.0

package object

import "k8s.io/apimachinery/pkg/runtime"

// JSON is an object, or an object in one, such as one of several weighted backends.
type JSON = map[string]any

// Nested returns what is at a path, nil for nothing.
func Nested(o JSON, path ...string) any {
	var value any = o
	for _, key := range path {
		parent, ok := value.(JSON)
		if !ok {
			return nil
		}
		value = parent[key]
	}
	return value
}

// Text returns the text at a path, empty for none.
func Text(o JSON, path ...string) string {
	text, _ := Nested(o, path...).(string)
	return text
}

// Int returns the whole number at a path; zero for none.
func Int(o JSON, path ...string) int64 {
	number, _ := Nested(o, path...).(int64)
	return number
}

// Texts returns those values of an object that are text, such as labels.
func Texts(o JSON) map[string]string {
	out := make(map[string]string, len(o))
	for key, value := range o {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

// Map returns the object at a path, nil for none.
func Map(o JSON, path ...string) JSON {
	m, _ := Nested(o, path...).(JSON)
	return m
}

// List returns the objects of the list at a path.
func List(o JSON, path ...string) []JSON {
	items, _ := Nested(o, path...).([]any)
	var out []JSON
	for _, item := range items {
		if m, ok := item.(JSON); ok {
			out = append(out, m)
		}
	}
	return out
}

// CopyMap returns a copy of the object at a path, empty for none.
func CopyMap(o JSON, path ...string) JSON {
	if m := Map(o, path...); m != nil {
		return runtime.DeepCopyJSON(m)
	}
	return JSON{}
}

// CopyList returns copies of the objects of the list at a path.
func CopyList(o JSON, path ...string) []JSON {
	list := List(o, path...)
	for i, item := range list {
		list[i] = runtime.DeepCopyJSON(item)
	}
	return list
}

// Child returns the object in a field, which it makes if there is none.
func Child(o JSON, field string) JSON {
	child, ok := o[field].(JSON)
	if !ok || child == nil {
		child = JSON{}
		o[field] = child
	}
	return child
}

// Put sets what is at a path. Anything on the way that is no object becomes one.
func Put(o JSON, value any, path ...string) {
	last := len(path) - 1
	for _, field := range path[:last] {
		o = Child(o, field)
	}
	switch list := value.(type) {
	case []JSON:
		value = Items(list)
	case []string:
		value = Items(list)
	}
	o[path[last]] = value
}

// PutList sets the list in a field, or removes the field: an empty list is not what
// an API server hands back.
func PutList(o JSON, field string, items []JSON) {
	if len(items) == 0 {
		delete(o, field)
		return
	}
	o[field] = Items(items)
}

// PutMap sets the object in a field, or removes the field when there is nothing to say.
func PutMap(o JSON, field string, value JSON) {
	if value == nil {
		delete(o, field)
		return
	}
	o[field] = value
}

// Items turns a list into one as objects have it.
func Items[T any](list []T) []any {
	out := make([]any, 0, len(list))
	for _, item := range list {
		out = append(out, item)
	}
	return out
}
