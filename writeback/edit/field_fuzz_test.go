// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// FuzzField feeds any content, path and tag. Whatever they are, an edit that succeeds
// replaces one stretch of bytes, in which line breaks are neither lost nor added; the
// field reads as the new value; every other value reads as before; and a second edit
// changes nothing.
func FuzzField(f *testing.F) {
	for _, seed := range []struct{ content, path string }{
		{deployment, "spec.template.spec.containers[name=app].image"},
		{"a: {b: [c, 'd', \"e\"]} # x\n---\na: &x y\n", "a.b[1]"},
		{"{ \"a\" :\t[ {\"n\":\"x\" , \"t\":\"1\"}]}", "a[n=x].t"},
		{"a: |\n b: c\n", "a"}, {"? a\n: b\n", "a"}, {"- - a\n  -\tb\n", "[0][1]"}, {"'a''b': c", "a'b"}, {"a: !!str &x y\nb: *x\r", "a"},
		{"\xEF\xBB\xBFa: b: c", "a"}, {"{a: b,\n c: d\n , e}", "c"}, {"\"\\u0061\": x\u2028b: y", "a"}, {"[\"a\\/\",1e3,null]", "[2]"},
	} {
		for kind := range uint8(3) {
			f.Add([]byte(seed.content), seed.path, "1.10", kind)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, path, tag string, kind uint8) {
		field, err := []func(string, edit.Part) (edit.Field, error){edit.YAMLField, edit.JSONField, edit.RegexField}[kind%3](path, edit.Tag)
		if err != nil {
			return
		}
		input := bytes.Clone(content)
		edited, outcomes, err := field.Set(content, edit.Image{Tag: tag})
		if !bytes.Equal(input, content) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			var why *edit.FieldError
			if !errors.As(err, &why) || !bytes.Equal(edited, content) {
				t.Fatalf("error %v with %q", err, edited)
			}
			return
		}
		checkStretch(t, content, edited)
		got, err := field.Get(edited)
		if err != nil || got.Tag != tag {
			t.Fatalf("the field of %q says %q, %v", edited, got.Tag, err)
		}
		switch kind % 3 {
		case 0:
			checkOthers(t, yamlValues(t, content), yamlValues(t, edited), outcomes[0])
		case 1:
			checkOthers(t, jsonValues(t, content), jsonValues(t, edited), outcomes[0])
		}
		if again, _, err := field.Set(edited, edit.Image{Tag: tag}); err != nil || !bytes.Equal(again, edited) {
			t.Fatalf("not idempotent (%v): %q became %q", err, edited, again)
		}
	})
}

// checkStretch compares what is around the bytes that differ.
func checkStretch(t *testing.T, before, after []byte) {
	t.Helper()
	front := 0
	for front < min(len(before), len(after)) && before[front] == after[front] {
		front++
	}
	back := 0
	for back < min(len(before), len(after))-front && before[len(before)-1-back] == after[len(after)-1-back] {
		back++
	}
	was, is := before[front:len(before)-back], after[front:len(after)-back]
	if len(yamlLines(was)) > 1 || len(yamlLines(is)) > 1 {
		t.Fatalf("more than a line changed: %q -> %q", was, is)
	}
}

// checkOthers compares all values of a file, of which one may change.
func checkOthers(t *testing.T, before, after []string, o edit.MarkerResult) {
	t.Helper()
	if len(before) != len(after) {
		t.Fatalf("%d values became %d", len(before), len(after))
	}
	changed := 0
	for i := range before {
		if before[i] != after[i] {
			changed++
			if after[i] != o.New {
				t.Fatalf("%q became %q, want %q", before[i], after[i], o.New)
			}
		}
	}
	if changed > 1 {
		t.Fatalf("%d values changed: %s", changed, cmp.Diff(before, after))
	}
}

// yamlValues are all scalars of the documents that can be read, in order, keys
// included.
func yamlValues(t *testing.T, content []byte) []string {
	t.Helper()
	var values []string
	var add func(*yaml.Node)
	add = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode || n.Kind == yaml.AliasNode {
			values = append(values, n.Value)
		}
		for _, child := range n.Content {
			add(child)
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		if decoder.Decode(&document) != nil {
			return values
		}
		add(&document)
	}
}

// jsonValues are all tokens.
func jsonValues(t *testing.T, content []byte) []string {
	t.Helper()
	var values []string
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return values
		}
		values = append(values, fmt.Sprint(token))
	}
}

// BenchmarkField sets the image of the last of many objects in a file. What it costs
// is that of the document: others are not parsed.
func BenchmarkField(b *testing.B) {
	object := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  containers:\n  - {name: %s, image: \"host/app:1\"}\n---\n"
	for _, objects := range []int{1, 100, 10_000} {
		content := []byte(strings.Repeat(fmt.Sprintf(object, "other"), objects-1) + fmt.Sprintf(object, "app"))
		for name, field := range map[string]edit.Field{
			"yaml":  yamlField("spec.containers[name=app].image", edit.Reference),
			"regex": regex(`name: app, image: "(?P<version>[^"]*)"`, edit.Reference),
		} {
			b.Run(fmt.Sprintf("%s/bytes=%d", name, len(content)), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					if _, _, err := field.Set(content, release); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		list := []byte("items: [" + strings.Repeat("{name: other, image: \"host/app:1\"},\n", objects-1) + "{name: app, image: \"host/app:1\"}]")
		b.Run(fmt.Sprintf("list/bytes=%d", len(list)), func(b *testing.B) {
			b.SetBytes(int64(len(list)))
			field := yamlField("items[name=app].image", edit.Reference)
			for b.Loop() {
				if _, _, err := field.Set(list, release); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
