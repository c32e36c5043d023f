// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"strings"
	"testing"
)

const verified = `# {"$imagepolicy": "apps:app:tag"} is explained here
first: 1.0.0 # {"$imagepolicy": "apps:app:tag"}
anchor: &a [x, y]
text: |
  tag: 1.0.0 # {"$imagepolicy": "apps:app:tag"}
  other: 1
last: z
---
second: 1.0.0 # {"$imagepolicy": "apps:app:tag"}
count: 7
`

// TestAnEditThatDoesMoreThanItShouldIsNoticed tampers with a good edit. What is left
// of one that was noticed is the file as it was.
func TestAnEditThatDoesMoreThanItShouldIsNoticed(t *testing.T) {
	images := Images{Namespace: "apps", ByPolicy: map[string]Image{"app": {Name: "n", Tag: "2.0.0"}}}
	outcomes := Plan(Scan([]byte(verified)), images)
	good := string(splice([]byte(verified), outcomes))
	if strings.Count(good, "2.0.0") != 3 {
		t.Fatalf("edited to\n%s", good)
	}
	tests := map[string]struct {
		old, new string
		want     bool
	}{
		"as it should":                        {"", "", true},
		"another value is written":            {"first: 2.0.0", "first: 3.0.0", false},
		"a number instead of a string":        {"first: 2.0.0", "first: 2.0", false},
		"another field changes":               {"last: z", "last: y", false},
		"another field changes its type":      {"count: 7", `count: "7"`, false},
		"a field is gone":                     {"last: z\n", "", false},
		"a field is new":                      {"last: z\n", "last: z\nmore: z\n", false},
		"a key changes":                       {"last: z", "lost: z", false},
		"an element changes":                  {"[x, y]", "[x, z]", false},
		"an element is gone":                  {"[x, y]", "[x]", false},
		"an anchor is gone":                   {"&a [x", "[x", false},
		"a list is a text":                    {"[x, y]", "xy", false},
		"fields move":                         {"last: z", "\nlast: z", false},
		"it is no YAML any more":              {"last: z", "last: [", false},
		"a text within loses a line":          {"  other: 1\n", "", false},
		"a text within changes elsewhere":     {"  other: 1", "  other: 2", false},
		"a text within has another value":     {"  tag: 2.0.0", "  tag: 2.0.1", false},
		"the second document changes, too":    {"second: 2.0.0", "second: 2.0.1", false},
		"a document is gone":                  {"---\n", "", false},
		"a document is new":                   {"last: z\n", "last: z\n---\n", false},
		"another field of the second changes": {"count: 7", "count: 8", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			edited := strings.Replace(good, tc.old, tc.new, 1)
			if tc.old != "" && edited == good {
				t.Fatal("nothing is tampered with")
			}
			if got := onlyMarked([]byte(verified), []byte(edited), outcomes); got != tc.want {
				t.Errorf("only what is marked has changed: %v in\n%s", got, edited)
			}
		})
	}
}

func TestWhatIsMarkedCostsMemory(t *testing.T) {
	marked := "tag: 1 # {\"$imagepolicy\": \"apps:app:tag\"}\n"
	parsed := func(document string) int64 { return int64(4*len(document) + nodesOf([]byte(document))*costOfNode) }
	long := "---\n" + strings.Repeat("a: 1\n", 10) + marked // the separator belongs to what follows it
	tests := map[string]struct {
		content string
		parses  string // the document that costs most
	}{
		"nothing is marked":                    {"tag: 1\n", ""},
		"a document":                           {marked, marked},
		"of two documents the one with a mark": {"a: 1\n---\n" + marked, "---\n" + marked},
		"of two marked the larger":             {marked + long, long},
		"of two marked the larger is first":    {long + "---\n" + marked, long},
		"a file that is too large is not read": {marked + strings.Repeat("#", MaxSize), ""},
		"a document that is too large neither": {marked + "# " + strings.Repeat("#", MaxDocument), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, want := Memory([]byte(tc.content)), int64(len(tc.content))+parsed(tc.parses); got != want {
				t.Errorf("%d bytes, want %d", got, want)
			}
		})
	}
}

func TestAMarkerWeighsWhatItHolds(t *testing.T) {
	m := Marker{Value: "1234", Setter: Setter{Namespace: "ns", Policy: "policy"}}
	m.Object.APIVersion, m.Object.Kind, m.Object.Name, m.Object.Namespace = "v1", "ConfigMap", "settings", "default"
	empty := Marker{}
	if got, want := m.Weight()-empty.Weight(), int64(2+6+4+2+9+8+7); got != want || empty.Weight() <= 0 {
		t.Errorf("%d bytes more than none, want %d", got, want)
	}
}

func TestWhatCanBeWrittenUnderATag(t *testing.T) {
	tests := map[string]struct {
		span  span
		value string
		want  bool
	}{
		"no tag":                          {span{style: plain}, "1.2.3", true},
		"a string":                        {span{style: plain, tag: "!!str"}, "1.2.3", true},
		"an integer":                      {span{style: plain, tag: "!!int"}, "10", true},
		"no integer":                      {span{style: plain, tag: "!!int"}, "1.2", false},
		"a quoted integer":                {span{style: single, tag: "!!int"}, "10", false},
		"a float":                         {span{style: plain, tag: "!!float"}, "1.2", true},
		"no float":                        {span{style: plain, tag: "!!float"}, "1.2.3", false},
		"a quoted float":                  {span{style: double, tag: "!!float"}, "1.2", false},
		"another type of YAML":            {span{style: plain, tag: "!!bool"}, "true", false},
		"a type that is written out":      {span{style: plain, tag: "!<tag:yaml.org,2002:bool>"}, "true", false},
		"a type of the document":          {span{style: plain, tag: "!image"}, "1.2.3", true},
		"a text":                          {span{style: blockText}, "1.2.3", true},
		"a text from space to tilde":      {span{style: blockText}, "a ~", true},
		"a text with a control character": {span{style: blockText}, "a\x1fb", false},
		"a text above tilde":              {span{style: blockText}, "a\x7fb", false},
		"a text with space around it":     {span{style: blockText}, "a ", false},
		"an empty text":                   {span{style: blockText}, "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.span.writable(tc.value); got != tc.want {
				t.Errorf("%q: %v", tc.value, got)
			}
		})
	}
}
