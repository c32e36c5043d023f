// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzPointer reads, sets and removes what a path leads to in any object.
func FuzzPointer(f *testing.F) {
	object := `{"spec": {"replicas": 1, "list": [{"name": "a", "port": 1}, "x"], "a/b": {"c~d": null}}}`
	for _, path := range []string{"/spec/replicas", "/spec/list/0/port", "/spec/list/1", "/spec/list/-1", "/spec/a~1b/c~0d",
		"", "/", "//", "spec"} {
		f.Add(object, path, `{"f:spec": {"f:list": {"k:{\"name\":\"a\"}": {"f:port": {}}, "v:\"x\"": {}}, "f:replicas": {}}}`)
	}
	f.Fuzz(func(t *testing.T, text, path, fields string) {
		pointer, err := parsePointer(path)
		if err != nil {
			return
		}
		var object map[string]any
		var set fieldSet
		if json.Unmarshal([]byte(text), &object) != nil || json.Unmarshal([]byte(fields), &set) != nil {
			return
		}
		set.cut(pointer, object)
		if set.cut(pointer, object) {
			t.Error("a field is found after it was taken out")
		}
		before, found := pointer.Get(object)
		if !found {
			return
		}
		pointer.Set(object, before)
		if again, _ := pointer.Get(object); !cmp.Equal(before, again) {
			t.Errorf("set to %v, and it is %v", before, again)
		}
		pointer.Remove(object)
	})
}
