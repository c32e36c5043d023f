// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/sluice-cd/sluice/internal/suggest"
)

// Bounds of what is said about unknown fields. A name is written whole or not at all: it
// may come of a variable, and half a secret would not be masked.
const (
	maxUnknown     = 5   // fields of one object
	maxUnknownName = 200 // bytes
)

// unknownFields describes the fields that an object has and its kind has not, with those
// that may have been meant; "" if there are none. An API server refuses them in an apply,
// but never sees those of the kinds of Kubernetes itself: objects are normalised by way of
// the types that this process was built with, as in Flux, which drops them without a word.
// The type of a CRD's object is not known here.
func unknownFields(u *unstructured.Unstructured) string {
	if u.GroupVersionKind().Group == "rbac.authorization.k8s.io" {
		return "" // these stay as they are
	}
	typed, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return ""
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, typed, true)
	strict, ok := runtime.AsStrictDecodingError(err)
	if !ok {
		return ""
	}
	return describeUnknown(strict.Errors(), reflect.TypeOf(typed).Elem())
}

// describeUnknown describes the unknown fields among what a strict decoder found in an
// object of a type.
func describeUnknown(found []error, of reflect.Type) string {
	var fields []string
	for _, field := range found {
		name, ok := unknownField(field)
		if !ok {
			continue
		}
		if len(name) > maxUnknownName {
			fields = append(fields, fmt.Sprintf("unknown field with a name of %d bytes", len(name)))
			continue
		}
		text := "unknown field " + name
		if meant := meantField(of, name); meant != "" {
			text += ", did you mean " + meant + "?"
		}
		fields = append(fields, text)
	}
	if more := len(fields) - maxUnknown; more > 0 {
		fields = append(fields[:maxUnknown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(fields, "; ")
}

// unknownField is the path of the field that a strict decoder does not know.
func unknownField(found error) (path string, ok bool) {
	path, ok = strings.CutPrefix(found.Error(), "unknown field ")
	return strings.Trim(path, `"`), ok
}

// onlyCapitalised reports whether an unknown field differs from one that a type has there by
// the case of its letters alone.
func onlyCapitalised(root reflect.Type, found error) bool {
	path, _ := unknownField(found)
	at, _, last, ok := parentOf(root, path)
	if !ok {
		return false
	}
	for name := range fieldsOf(at) {
		if strings.EqualFold(name, last) {
			return true
		}
	}
	return false
}

// parentOf is the type that has the last step of a path, the names of the fields that lead
// there, and that step.
func parentOf(root reflect.Type, path string) (at reflect.Type, own []string, last string, ok bool) {
	steps := strings.Split(path, ".")
	at, last = root, steps[len(steps)-1]
	for _, step := range steps[:len(steps)-1] {
		name, _, _ := strings.Cut(step, "[")
		next, ok := fieldsOf(at)[name]
		if !ok {
			return nil, nil, "", false
		}
		at, own = elementOf(next), append(own, name)
	}
	return at, own, last, true
}

// meantField is the field that was probably meant by a path which a type does not have:
// one beside it with a similar name, or else one of the same name elsewhere, which is
// where wrong indentation belongs.
func meantField(root reflect.Type, unknown string) string {
	at, own, last, ok := parentOf(root, unknown)
	if !ok {
		return ""
	}
	names := make([]string, 0)
	for name := range fieldsOf(at) {
		names = append(names, name)
	}
	slices.Sort(names)
	if near := suggest.Nearest(last, names); near != "" {
		return near
	}
	return fieldElsewhere(root, own, last)
}

// Bounds of the search for a field of the same name.
const (
	maxFieldDepth = 9
	maxFields     = 20_000
)

// fieldElsewhere is the path of a field with a name, the nearest to where it was looked
// for; "" if there is none.
func fieldElsewhere(root reflect.Type, from []string, name string) string {
	var best []string
	left := maxFields
	shared := func(path []string) int {
		n := 0
		for n < len(path) && n < len(from) && path[n] == from[n] {
			n++
		}
		return n
	}
	var search func(t reflect.Type, path []string, above []reflect.Type)
	search = func(t reflect.Type, path []string, above []reflect.Type) {
		if len(path) > maxFieldDepth || slices.Contains(above, t) {
			return
		}
		for field, next := range fieldsOf(t) {
			if left--; left < 0 {
				return
			}
			found := append(path[:len(path):len(path)], field)
			if field == name && isNearer(found, best, shared(found)-shared(best)) {
				best = found
			}
			search(elementOf(next), found, append(above[:len(above):len(above)], t))
		}
	}
	search(root, nil, nil)
	return strings.Join(best, ".")
}

// isNearer reports whether the path of a field is a better suggestion than another one, nil
// for none. shared is how many more steps path has in common with the place of the unknown
// field, negative for fewer; at a draw the shorter path is better. For an unknown field
// spec.template.replicas, spec.replicas (one step in common) is nearer than status.replicas
// (none).
func isNearer(path, than []string, shared int) bool {
	switch {
	case than == nil || shared > 0:
		return true
	case shared < 0:
		return false
	case len(path) != len(than):
		return len(path) < len(than)
	}
	a, b := strings.Join(path, "."), strings.Join(than, ".")
	return len(a) < len(b) || len(a) == len(b) && a < b
}

// elementOf is what a field has below it: lists, maps and pointers are looked through.
func elementOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// fieldsOf are the fields of a type as JSON names them, without what has them inline. Only
// types of Kubernetes have fields: a time, say, is a value.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct || !strings.HasPrefix(strings.TrimPrefix(t.PkgPath(), "sigs."), "k8s.io/") {
		return fields
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && (field.Anonymous || strings.Contains(options, "inline")):
			for inner, of := range fieldsOf(elementOf(field.Type)) {
				fields[inner] = of
			}
		case name != "":
			fields[name] = field.Type
		}
	}
	return fields
}
