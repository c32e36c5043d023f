// SPDX-License-Identifier: Apache-2.0

// Package references holds what a controller watches to what the spec of its kind can refer to:
// each field that names a Secret or a ConfigMap is found in the type, so that one that upstream
// adds is found as well.
//
//	type of the spec --> fields secretRef, certSecretRef, configMapRef, ... --> named one at a time
package references

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// name is the one that each reference is given.
const name = "referred"

// Watched demands that what is watched for an object has each Secret and ConfigMap that its spec
// can name. Fresh makes an object, and returns a pointer to its spec, too. Of is what is watched
// for the object: names, or keys that end with them.
func Watched[T any](t *testing.T, fresh func() (T, any), of func(T) []string) {
	t.Helper()
	_, spec := fresh()
	paths := pathsIn(reflect.TypeOf(spec).Elem(), nil)
	if len(paths) == 0 {
		t.Errorf("a %T refers to no Secret", spec)
	}
	for _, path := range paths {
		object, spec := fresh()
		set(reflect.ValueOf(spec).Elem(), path)
		if got := of(object); !slices.ContainsFunc(got, func(key string) bool { return strings.HasSuffix(key, name) }) {
			t.Errorf("nobody watches what spec.%s names: %q", strings.Join(path, "."), got)
		}
	}
}

// pathsIn are the references that a type can have, by the names of its fields in Go.
func pathsIn(of reflect.Type, above []string) [][]string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	var found [][]string
	for i := range of.NumField() {
		field := of.Field(i)
		path := append(slices.Clone(above), field.Name)
		if strings.HasSuffix(field.Name, "SecretRef") || strings.HasSuffix(field.Name, "ConfigMapRef") || field.Name == "SubstituteFrom" {
			found = append(found, path)
			continue
		}
		found = append(found, pathsIn(field.Type, path)...)
	}
	return found
}

// set names an object in the reference at a path, and makes what is above it.
func set(in reflect.Value, path []string) {
	for _, field := range path {
		in = in.FieldByName(field)
		for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
			if in.Kind() == reflect.Pointer {
				in.Set(reflect.New(in.Type().Elem()))
				in = in.Elem()
			} else {
				in.Set(reflect.MakeSlice(in.Type(), 1, 1))
				in = in.Index(0)
			}
		}
	}
	in.FieldByName("Name").SetString(name)
}
