// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/writeback/edit"
)

const marked = "image: app:1 # {\"$imagepolicy\": \"apps:app\"}\n"

// TestHostileFilesCostNoMoreThanTheirSize reads what a malicious repository may
// hold, close to the bound, in seconds and in a bounded part of a small pod. Under
// the race detector, which makes it ten times slower, it is an eighth of that.
func TestHostileFilesCostNoMoreThanTheirSize(t *testing.T) {
	const most = 800 / share // MiB
	const size = edit.MaxDocument/share - 2*len(marked) - 64
	const few = min(size, 240_000) // more values are not read
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 100 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26))
		bomb += name + ": &" + name + " [*a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0]\n"
	}
	tests := map[string]string{
		"aliases of aliases":         bomb,
		"flow nested deep":           "x: " + strings.Repeat("[", min(size/2, few)) + "\n",
		"dashes nested deep":         "x:\n" + strings.Repeat("- ", min(size/2, few)) + "\n",
		"many small values":          "x: [" + strings.Repeat("a,", min(min(size/2, few)-4, few)) + "a]\n",
		"many keys":                  strings.Repeat("a:\n", min(size/3, few/2)),
		"a very long line":           "x: " + strings.Repeat("a", size) + "\n",
		"a very long line of blanks": "a" + strings.Repeat(" ", size) + "#\n",
		"many words":                 "a" + strings.Repeat(" a", size/2) + "\n",
		"many number signs":          "a" + strings.Repeat("#", size) + "{$imagepolicy}\n",
		"many comments in a word":    "a" + strings.Repeat("#{", size/2) + "$imagepolicy}\n",
		"many number signs on lines": strings.Repeat("a"+strings.Repeat("#", 1000)+"{$imagepolicy}\n", size/1016),
		"many comments":              strings.Repeat("#\n", min(size/2, few)),
		"an unclosed quote":          "x: \"" + strings.Repeat("a\n ", min(size/3, few/2)),
		"many markers":               strings.Repeat(marked, size/len(marked)),
		"many markers without values": strings.Repeat("a: # {\"$imagepolicy\": \"apps:app\"}\n", size/100) + "b: \"" +
			strings.Repeat("a\n ", size/6) + "\"\n",
		"many markers in a text":      "b: \"" + strings.Repeat("a # {'$imagepolicy': 'apps:app'}\n ", size/40) + "\"\n",
		"many values that span lines": strings.Repeat("- \"app:\n  1\" # {\"$imagepolicy\": \"apps:app\"}\n", size/100),
		"many blocks":                 strings.Repeat("- >- # {\"$imagepolicy\": \"apps:app\"}\n  app:1\n", size/100),
		"blocks in blocks in blocks":  nested(600 / share),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}
			_, outcomes, err := edit.Apply([]byte(text+marked), images)
			runtime.ReadMemStats(&after)
			if err != nil || len(outcomes) == 0 {
				t.Errorf("%d outcomes, error %v", len(outcomes), err)
			}
			if spent := (after.TotalAlloc - before.TotalAlloc) >> 20; spent > most {
				t.Errorf("%d bytes: allocated %d MiB in all", len(text), spent)
			}
		})
	}
}

// nested is a literal in a literal and so on, with a marker in each.
func nested(depth int) string {
	var text strings.Builder
	for i := range depth {
		text.WriteString(strings.Repeat(" ", i) + marked)
		text.WriteString(strings.Repeat(" ", i) + "a: |\n")
	}
	return text.String()
}

func TestWhatIsTooLargeIsLeftAlone(t *testing.T) {
	images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}}
	filler := strings.Repeat("# filler\n", edit.MaxDocument/9+1)
	tests := map[string]struct {
		content string
		want    []edit.MarkerResult // line, skip and new value only
	}{
		"a large document beside a small one": {
			marked + "---\n" + filler + marked + marked,
			[]edit.MarkerResult{{Line: 1, New: "app:2"}, {Line: 2 + edit.MaxDocument/9 + 2, Skip: edit.TooLarge}},
		},
		"a document of a great many values beside a small one": {
			marked + "---\n[" + strings.Repeat("a,", 250_000) + "]\n" + marked,
			[]edit.MarkerResult{{Line: 1, New: "app:2"}, {Line: 4, Skip: edit.TooLarge}},
		},
		"a large file": {
			strings.Repeat("---\n"+filler, 8) + marked, []edit.MarkerResult{{Line: 8*(edit.MaxDocument/9+2) + 1, Skip: edit.TooLarge}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, outcomes, err := edit.Apply([]byte(tc.content), images)
			if err != nil || len(outcomes) != len(tc.want) {
				t.Fatalf("outcomes %+v, error %v", outcomes, err)
			}
			for i, o := range outcomes {
				if o.Line != tc.want[i].Line || o.Skip != tc.want[i].Skip || o.New != tc.want[i].New {
					t.Errorf("got %+v, want %+v", o, tc.want[i])
				}
			}
		})
	}
}
