// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhereAPathLeads(t *testing.T) {
	tests := map[string]struct {
		text string
		want fieldPath
		says string // of the error
	}{
		"keys":                                {text: "a.b-c.d/e", want: fieldPath{{key: "a"}, {key: "b-c"}, {key: "d/e"}}},
		"an index":                            {text: "a[7].b", want: fieldPath{{key: "a"}, {index: 7}, {key: "b"}}},
		"the first of a list of lists":        {text: "[0][1]", want: fieldPath{{index: 0}, {index: 1}}},
		"an item by a key":                    {text: "a[name=b]", want: fieldPath{{key: "a"}, {by: "name", value: "b"}}},
		"an item by an empty value":           {text: "a[name=]", want: fieldPath{{key: "a"}, {by: "name"}}},
		"single quotes":                       {text: `'a b'.'c.d'`, want: fieldPath{{key: "a b"}, {key: "c.d"}}},
		"double quotes":                       {text: `"a\"b".c`, want: fieldPath{{key: `a"b`}, {key: "c"}}},
		"quotes in brackets":                  {text: `["a=b"='c]d'].e`, want: fieldPath{{by: "a=b", value: "c]d"}, {key: "e"}}},
		"the largest index":                   {text: "[100000]", want: fieldPath{{index: 100000}}},
		"as long as it may be":                {text: strings.Repeat("a", maxPath), want: fieldPath{{key: strings.Repeat("a", maxPath)}}},
		"one more than the largest index":     {text: "[100001]", says: "neither an index from 0 to 100000"},
		"a single quote that is open":         {text: "a.'b", says: "a quote is not closed"},
		"a double quote that is open":         {text: `a."b`, says: "a quote is not closed, or has an escape"},
		"a quote in brackets that is open":    {text: "a['b=c]", says: "a quote is not closed"},
		"a quoted value that is open":         {text: "a[b='c]", says: "a quote is not closed"},
		"a value that is not closed":          {text: `a[b='c'`, says: "a bracket is not closed"},
		"brackets that are not closed":        {text: "a[b", says: "brackets hold an index or key=value, and are closed"},
		"no key in brackets":                  {text: "a[=b]", says: "brackets hold an index or key=value, and are closed"},
		"something behind quotes in brackets": {text: `a["b"c]`, says: "brackets hold an index or key=value, and are closed"},
		"an index below zero":                 {text: "a[-1]", says: "neither an index"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parsePath(tc.text)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want %q", err, tc.says)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(step{})); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
	if path, err := parsePath(strings.TrimSuffix(strings.Repeat("a.", maxSteps), ".")); err != nil || len(path) != maxSteps {
		t.Errorf("as many steps as may be: %v", err)
	}
}

func TestWhatAFieldSays(t *testing.T) {
	field := func(f Field, err error) Field {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	yamlAt := func(path string, part Part) Field { return field(YAMLField(path, part)) }
	jsonAt := func(path string, part Part) Field { return field(JSONField(path, part)) }
	text := func(expression string) Field { return field(RegexField(expression, Tag)) }
	tests := map[string]struct {
		field Field
		in    string
		want  Image
		why   Reason
	}{
		"null":                           {field: yamlAt("a", Tag), in: "a: ~\n"},
		"null of JSON":                   {field: jsonAt("a", Tag), in: `{"a": null}`},
		"a number of JSON":               {field: jsonAt("a", Tag), in: `{"a": 1.10}`, want: Image{Tag: "1.10"}},
		"a key with an escape":           {field: yamlAt("tag", Tag), in: "\"t\\x61g\": v1\n", want: Image{Tag: "v1"}},
		"a key that is no ordinary word": {field: yamlAt("a b", Tag), in: "'a b': v1\n", want: Image{Tag: "v1"}},
		"an item whose name comes first": {
			field: jsonAt("a[n=x].t", Tag), in: `{"a": [{"n": "y", "t": "1"}, {"n": "x", "m": 1, "t": "2"}]}`,
			want: Image{Tag: "2"},
		},
		"an item by a number": {field: jsonAt("a[n=1].t", Tag), in: `{"a": [{"n": 1, "t": "2"}, ["n"]]}`, want: Image{Tag: "2"}},
		"a port is no tag": {
			field: yamlAt("image", Reference), in: "image: host:5000/app\n", want: Image{Name: "host:5000/app"},
		},
		"a port and a tag": {
			field: yamlAt("image", Reference), in: "image: host:5000/app:1\n", want: Image{Name: "host:5000/app", Tag: "1"},
		},
		"the second group of an expression": {field: text(`^APP(_X)?=(?P<version>.*)`), in: "APP_X=v1", want: Image{Tag: "v1"}},
		"a match at the start":              {field: text(`^(?P<version>v\d)`), in: "v1 v2", want: Image{Tag: "v1"}},
		"SOPS that checks what is encrypted": {
			field: jsonAt("a", Tag), in: `{"a":"v1","sops":{"mac":"x","mac_only_encrypted":true}}`, want: Image{Tag: "v1"},
		},
		"SOPS without a checksum":             {field: jsonAt("a", Tag), in: `{"a":"v1","sops":{"version":"3"}}`, want: Image{Tag: "v1"}},
		"a word like SOPS in what is no JSON": {field: text("A=(?P<version>.*)"), in: "\"sops\"\nA=v1", want: Image{Tag: "v1"}},
		"a field that JSON does not have":     {field: jsonAt("b", Tag), in: `{"a": "v1"}`, why: MissingField},
		"a key of a list in JSON":             {field: jsonAt("a.b", Tag), in: `{"a": ["b"]}`, why: MissingField},
		"an item of an object in JSON":        {field: jsonAt("a[0]", Tag), in: `{"a": {"b": "v1"}}`, why: MissingField},
		"an item of a value in JSON":          {field: jsonAt("a[0]", Tag), in: `{"a": "v1"}`, why: MissingField},
		"a document that cannot have it":      {field: yamlAt("tag", Tag), in: "{{ if x }}\n", why: MissingField},
		"a tag by its key in JSON":            {field: jsonAt("tag", Reference), in: `{"tag": "v1"}`, why: NeedsTag},
		"a list of a mapping":                 {field: yamlAt("a.b", Tag), in: "a: v1\nb: v2\n", why: MissingField},
		"an item of a mapping":                {field: yamlAt("a[0]", Tag), in: "a: {b: c}\n", why: MissingField},
		"a quote that goes on":                {field: yamlAt("a", Tag), in: "a: 'b\n\n  c'\n", why: Multiline},
		"a value on the line below":           {field: yamlAt("a", Tag), in: "a: &x\n  b\n", why: Multiline},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.field.Get([]byte(tc.in))
			var why *FieldError
			if tc.why != "" {
				if !errors.As(err, &why) || why.Why != tc.why {
					t.Errorf("%v, want %q", err, tc.why)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestHowFieldsAreWritten(t *testing.T) {
	if text, why := (jsonFormat{}).write(span{}, "a&<b>\""); text != `"a&<b>\""` || why != "" {
		t.Errorf("JSON is written as %s, %q", text, why)
	}
	if text, why := (textFormat{}).write(span{}, "1.0~"); text != "1.0~" || why != "" {
		t.Errorf("a text is written as %s, %q", text, why)
	}
	for _, value := range []string{"a\nb", "a\x7f", "\u00fc"} {
		if text, why := (textFormat{}).write(span{}, value); text != "" || why != Unsupported {
			t.Errorf("%q is written as %q, %q", value, text, why)
		}
	}
}

func TestFieldsOfOneFileInAnyOrder(t *testing.T) {
	f, err := HelmValues("r", "t", "")
	if err != nil {
		t.Fatal(err)
	}
	image := Image{Name: "host/app", Tag: "2.0.0"}
	for in, want := range map[string]string{
		"t: 1\nr: a\n":             "t: \"2.0.0\"\nr: host/app\n",
		"t: 2.0.0\nr: a\n":         "t: 2.0.0\nr: host/app\n",
		"r: host/app\nt: '1'\n":    "r: host/app\nt: '2.0.0'\n",
		"r: host/app\nt: '2.0.0'":  "r: host/app\nt: '2.0.0'",
		"x: 1\n---\nr: a\nt: v1\n": "x: 1\n---\nr: host/app\nt: 2.0.0\n",
	} {
		edited, outcomes, err := f.Set([]byte(in), image)
		if err != nil || len(outcomes) != 2 ||
			strings.ReplaceAll(string(edited), `"2.0.0"`, "2.0.0") != strings.ReplaceAll(want, `"2.0.0"`, "2.0.0") {
			t.Errorf("%q became %q, %v", in, edited, err)
		}
	}
}

func TestWhatReadingAFieldTakes(t *testing.T) {
	const content = "a: b\n---\nc: d\ne: f\n"
	if got, want := FieldMemory([]byte(content)), int64(len(content)+4*len("---\nc: d\ne: f\n")+
		costOfNode*nodesOf([]byte("---\nc: d\ne: f\n"))); got != want {
		t.Errorf("%d bytes, want %d: it may be in any document", got, want)
	}
	if got := Memory([]byte("a\x00b\x00")); got != 8 {
		t.Errorf("a file of UTF-16: %d bytes, want twice its size", got)
	}
}

// TestValuesThatAreNotOnTheLineOfTheirMarker writes them onto one line.
func TestValuesThatAreNotOnTheLineOfTheirMarker(t *testing.T) {
	images := Images{Namespace: "apps", ByPolicy: map[string]Image{"app": {Name: "n", Tag: "11"}}}
	for name, tc := range map[string]struct{ in, want string }{
		"an integer with its type": {"a: !!int M\n  7\n", "a: !!int M\n  11\n"},
		"a text with its type":     {"a: !!str M\n  7\n", "a: !!str M\n  \"11\"\n"},
		"a text with an anchor":    {"a: &x M\n  v7\nb: *x\n", "a: &x M\n  \"11\"\nb: *x\n"},
		"below comments":           {"a: !!str M\n\n  # why\n  'v7'\n", "a: !!str M\n\n  # why\n  '11'\n"},
		"words on two lines, behind a long key": {
			"a-very-long-key-of-a-mapping: v7\n  b M\nc: d\n", "a-very-long-key-of-a-mapping: \"11\" M\nc: d\n",
		},
		"quotes with one escaped":     {"a: \"v \\\" \\\n  b\" M\nc: d\n", "a: \"11\" M\nc: d\n"},
		"quotes with two single ones": {"a: 'v''\n  b' M\nc: d\n", "a: '11' M\nc: d\n"},
		"behind a byte order mark":    {"\uFEFFa: 'v\n  b' M\nc: d\n", "\uFEFFa: '11' M\nc: d\n"},
		"two in one document":         {"a: 'v\n  b' M\nc: 'v\n  w\n  b' M\nd: e\n", "a: '11' M\nc: '11' M\nd: e\n"},
		"one in each document":        {"a: 'v\n  b' M\n---\nc: 'v\n  b' M\n---\nd: v7 M\n", "a: '11' M\n---\nc: '11' M\n---\nd: \"11\" M\n"},
		"in a flow":                   {"a: {b: v7, M\n  c: d}\n", "a: {b: \"11\", M\n  c: d}\n"},
		"a block":                     {"a: >- M\n  v7\nc: d\n", "a: >- M\n  11\nc: d\n"},
		"spaces of a block's value":   {"a: >2- M\n    11\nc: d\n", "a: >2- M\n  11\nc: d\n"},
		"a block of two lines":        {"a: >- M\n  v7\n  v8\nc: d\n", "a: >- M\n  11\nc: d\n"},
		"a literal of two lines":      {"a: |- M\n  v7\n  v8\nc: d\n", "a: |- M\n  v7\n  v8\nc: d\n"},
		"no value at all":             {"a: M\nb: v7\n", "a: M\nb: v7\n"},
	} {
		content, want := strings.ReplaceAll(tc.in, "M", tagMarker), strings.ReplaceAll(tc.want, "M", tagMarker)
		edited, _, err := Apply([]byte(content), images)
		if diff := cmp.Diff(want, string(edited)); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}
