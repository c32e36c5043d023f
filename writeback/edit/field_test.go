// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// release is the image that all cases write.
var release = edit.Image{Name: "ghcr.io/acme/app", Tag: "2.0.0", Digest: "sha256:feed"}

// must returns a field that can be compiled.
func must(field edit.Field, err error) edit.Field {
	if err != nil {
		panic(err)
	}
	return field
}

func yamlField(path string, part edit.Part) edit.Field { return must(edit.YAMLField(path, part)) }
func jsonField(path string, part edit.Part) edit.Field { return must(edit.JSONField(path, part)) }
func regex(text string, part edit.Part) edit.Field     { return must(edit.RegexField(text, part)) }
func kustomize(name string) edit.Field                 { return must(edit.KustomizeImage(name)) }
func helm(repository, tag, digest string) edit.Field {
	return must(edit.HelmValues(repository, tag, digest))
}

const deployment = "# shop\r\napiVersion: apps/v1\r\nkind: Deployment\r\nspec:\r\n  template:\r\n    spec:\r\n      containers:\r\n" +
	"      - name: proxy\r\n        image: envoy:1   # keep\t \r\n" +
	"      - image:   'ghcr.io/acme/app:1.0.0@sha256:abba'   # ours\r\n        name: app\r\n\r\n"

// Each case has what the field says before, and the one stretch of the file that
// changes.
func TestFieldsWithoutMarkersAreSet(t *testing.T) {
	tests := map[string]struct {
		field    edit.Field
		in       string
		old, new string
		want     edit.Image
	}{
		"an image of a list's item, by its name, in a file of CRLF": {
			field: yamlField("spec.template.spec.containers[name=app].image", edit.Reference), in: deployment,
			old: "'ghcr.io/acme/app:1.0.0@sha256:abba'", new: "'ghcr.io/acme/app:2.0.0@sha256:feed'",
			want: edit.Image{Name: "ghcr.io/acme/app", Tag: "1.0.0", Digest: "sha256:abba"},
		},
		"an item by its index": {
			field: yamlField("a.b[1].c", edit.Tag), in: "a:\n  b:\n  - c: 1.0.0\n  - {c: 1.0.1, d: 1.0.1} # c\n",
			old: "c: 1.0.1,", new: "c: 2.0.0,", want: edit.Image{Tag: "1.0.1"},
		},
		"a key in quotes, behind an anchor and a comment": {
			field: yamlField(`data."app.version"`, edit.Tag), in: "# a\ndata: &d\n  # b\n  app.version: &v \"1\"\t# c\n  other: *v\nmore: *d\n",
			old: `"1"`, new: `"2.0.0"`, want: edit.Image{Tag: "1"},
		},
		"the one of several documents that has it": {
			field: yamlField("spec.version", edit.Tag), in: "spec: {}\n---\r\n# two\nspec:\n  version: 1.0\n...\n---\nversion: 1.0\n",
			old: "spec:\n  version: 1.0", new: "spec:\n  version: 2.0.0", want: edit.Image{Tag: "1.0"},
		},
		"behind a byte order mark, without a break at the end": {
			field: yamlField("tag", edit.Tag), in: "\xEF\xBB\xBFtag: 1.0.0", old: "1.0.0", new: "2.0.0", want: edit.Image{Tag: "1.0.0"},
		},
		"behind letters of several bytes": {
			field: yamlField("x.tag", edit.Tag), in: "x: {\"schlüßel ☃\": ü, tag: 1.0.0, b: 1.0.0}\n",
			old: "tag: 1.0.0", new: "tag: 2.0.0", want: edit.Image{Tag: "1.0.0"},
		},
		"a document that is not YAML beside the one that has it": {
			field: yamlField("image.tag", edit.Tag), in: "image:\n  tag: v1\n---\n{{ if x }}\n",
			old: "v1", new: "2.0.0", want: edit.Image{Tag: "v1"},
		},
		"an entry of a kustomization": {
			field: kustomize("shop/app"),
			in:    "images:\n- name: other\n  newTag: 1.0.0\n- newTag: 1.0.0 # tag\n  name: shop/app\n  # name\n  newName: ghcr.io/acme/app\n",
			old:   "- newTag: 1.0.0", new: "- newTag: 2.0.0", want: edit.Image{Name: "ghcr.io/acme/app", Tag: "1.0.0"},
		},
		"an entry of a kustomization, with a digest, on one line": {
			field: kustomize("app"), in: "images: [{name: app, newName: \"host/app\", digest: sha256:abba}]   \n",
			old: `"host/app", digest: sha256:abba`, new: `"ghcr.io/acme/app", digest: sha256:feed`,
			want: edit.Image{Name: "host/app", Digest: "sha256:abba"},
		},
		"the values of a chart": {
			field: helm("image.repository", "image.tag", "image.digest"),
			in:    "image:\n  repository: ghcr.io/acme/app\n  pullPolicy: Always\n  # empty: appVersion\n  tag: \"\"\n  digest: ''\n",
			old:   "\"\"\n  digest: ''", new: "\"2.0.0\"\n  digest: 'sha256:feed'", want: edit.Image{Name: "ghcr.io/acme/app"},
		},
		"the values of a chart that has the registry in another field": {
			field: helm("image.repository", "image.tag", ""),
			in:    "image:\n  registry: ghcr.io\n  repository: acme/old\n  tag: 1.0.0\n",
			old:   "acme/old\n  tag: 1.0.0", new: "acme/app\n  tag: 2.0.0", want: edit.Image{Name: "ghcr.io/acme/old", Tag: "1.0.0"},
		},
		"the values of a chart, in another order and of other lengths": {
			field: helm("image.repository", "image.tag", "image.digest"),
			in:    "image: {digest: sha256:a, tag: '1', repository: x} # sha256:a\n",
			old:   "digest: sha256:a, tag: '1', repository: x}", new: "digest: sha256:feed, tag: '2.0.0', repository: ghcr.io/acme/app}",
			want: edit.Image{Name: "x", Tag: "1", Digest: "sha256:a"},
		},
		"a field of JSON with odd spacing": {
			field: jsonField(`services[name=app]."image tag"`, edit.Tag),
			in: "{ \"services\" :\t[ {\"name\":\"x\" , \"image tag\":\"1\"},\r\n {\"image tag\"\n" +
				":\t\"1\\u002e0\"  ,\"name\":\"\\u0061pp\"}] }\n\n",
			old: `"1\u002e0"`, new: `"2.0.0"`, want: edit.Image{Tag: "1.0"},
		},
		"a list in JSON, by index": {
			field: jsonField("[1]", edit.Reference), in: "[\"a:1\",\"b:1\" ]", old: `"b:1"`, new: `"ghcr.io/acme/app:2.0.0@sha256:feed"`,
			want: edit.Image{Name: "b", Tag: "1"},
		},
		"a variable of an .env file": {
			field: regex(`(?m)^APP_VERSION=(?P<version>.*)$`, edit.Tag), in: "# APP_VERSION=0\nOLD_APP_VERSION=3\nAPP_VERSION=1.0.0\nX=1.0.0\n",
			old: "\nAPP_VERSION=1.0.0", new: "\nAPP_VERSION=2.0.0", want: edit.Image{Tag: "1.0.0"},
		},
		"the base of a Dockerfile": {
			field: regex(`(?m)^FROM (?P<version>ghcr\.io/acme/\S+) AS base`, edit.Reference),
			in:    "FROM golang:1 AS build\r\nFROM ghcr.io/acme/app:1 AS base\r\nRUN x\r\n",
			old:   "ghcr.io/acme/app:1", new: "ghcr.io/acme/app:2.0.0@sha256:feed", want: edit.Image{Name: "ghcr.io/acme/app", Tag: "1"},
		},
		"a default of Terraform": {
			field: regex(`variable "app_version" \{[^}]*default\s*=\s*"(?P<version>[^"]*)"`, edit.Tag),
			in:    "variable \"app_version\" {\n  type    = string\n  default = \"1.0.0\" # c\n}\nvariable \"x\" {\n  default = \"1.0.0\"\n}\n",
			old:   "\"1.0.0\" # c", new: "\"2.0.0\" # c", want: edit.Image{Tag: "1.0.0"},
		},
		"a line of a Helm template": {
			field: regex(`app:(?P<version>[a-z0-9.]+)`, edit.Tag), in: "{{- if .x }}\nimage: app:1.0\n{{- end }}\n",
			old: "app:1.0", new: "app:2.0.0", want: edit.Image{Tag: "1.0"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if strings.Count(tc.in, tc.old) != 1 {
				t.Fatalf("the case has %q %d times", tc.old, strings.Count(tc.in, tc.old))
			}
			got, err := tc.field.Get([]byte(tc.in))
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("before: %v %s", err, diff)
			}
			input := []byte(tc.in)
			edited, outcomes, err := tc.field.Set(input, release)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Replace(tc.in, tc.old, tc.new, 1), string(edited)); diff != "" {
				t.Error(diff)
			}
			if string(input) != tc.in || len(outcomes) == 0 {
				t.Errorf("outcomes %v, input %q", outcomes, input)
			}
			again, outcomes, err := tc.field.Set(edited, release)
			if err != nil || !bytes.Equal(again, edited) {
				t.Errorf("a second run changes the file again (%v): %q", err, again)
			}
			for _, o := range outcomes {
				if o.Changed() {
					t.Errorf("a second run reports %v", o)
				}
			}
		})
	}
}

func TestANumberStaysAString(t *testing.T) {
	for in, want := range map[string]string{
		"tag: 1.0\n": "tag: \"1.10\"\n", "tag: v1\n": "tag: \"1.10\"\n", "tag: '1'\n": "tag: '1.10'\n",
		"tag: !!float 1.0\n": "tag: !!float 1.10\n", "tag: ~ # x\n": "tag: \"1.10\" # x\n",
	} {
		edited, _, err := yamlField("tag", edit.Tag).Set([]byte(in), edit.Image{Tag: "1.10"})
		if err != nil || string(edited) != want {
			t.Errorf("%q became %q, %v", in, edited, err)
		}
	}
	edited, _, err := jsonField("tag", edit.Tag).Set([]byte(`{"tag": 1.0}`), edit.Image{Tag: "1.10"})
	if err != nil || string(edited) != `{"tag": "1.10"}` {
		t.Errorf("JSON became %q, %v", edited, err)
	}
}

func TestWhatAnOutcomeSays(t *testing.T) {
	_, outcomes, err := yamlField("spec.template.spec.containers[name=app].image", edit.Reference).Set([]byte(deployment), release)
	if err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	o := outcomes[0]
	if o.Line != 10 || o.Object.Kind != "Deployment" || o.Field != "yaml spec.template.spec.containers[name=app].image" || !o.Changed() {
		t.Errorf("got %+v", o)
	}
}

func TestFieldsThatAreLeftAlone(t *testing.T) {
	sops := "sops:\n  mac: ENC[x]\n  version: 3\n"
	tests := map[string]struct {
		field edit.Field
		in    string
		want  edit.Reason
		line  int
	}{
		"a path that there is not": {field: yamlField("a.c", edit.Tag), in: "a: {b: c}\n", want: edit.MissingField},
		"an index behind the end":  {field: yamlField("a[1]", edit.Tag), in: "a: [b]\n", want: edit.MissingField},
		"a key of a list":          {field: yamlField("a.b", edit.Tag), in: "a: [b]\n", want: edit.MissingField},
		"an empty file":            {field: yamlField("a", edit.Tag), in: "", want: edit.MissingField},
		"a path of two documents":  {field: yamlField("a", edit.Tag), in: "a: b\n---\na: c\n", want: edit.AmbiguousField},
		"a key twice":              {field: yamlField("a", edit.Tag), in: "a: b\na: c\n", want: edit.AmbiguousField},
		"two items of one name": {
			field: yamlField("a[n=x].t", edit.Tag), in: "a: [{n: x, t: y}, {n: x, t: y}]\n", want: edit.AmbiguousField,
		},
		"a mapping":                       {field: yamlField("a", edit.Tag), in: "a: {b: c}\n", want: edit.NotScalar, line: 1},
		"an alias":                        {field: yamlField("a", edit.Tag), in: "b: &x y\na: *x\n", want: edit.Alias, line: 2},
		"a way through an alias":          {field: yamlField("a.b", edit.Tag), in: "x: &x {b: c}\na: *x\n", want: edit.Alias, line: 2},
		"a block scalar":                  {field: yamlField("a", edit.Tag), in: "a: |\n  b\n", want: edit.BlockScalar, line: 1},
		"a value of two lines":            {field: yamlField("a", edit.Tag), in: "a: b\n  c\n", want: edit.Multiline, line: 1},
		"a value of two lines in quotes":  {field: yamlField("a", edit.Tag), in: "a: \"b\n  c\"\n", want: edit.Multiline, line: 1},
		"no value":                        {field: yamlField("a", edit.Tag), in: "a:\nb: c\n", want: edit.EmptyField, line: 1},
		"a template expression":           {field: yamlField("a", edit.Tag), in: "a: \"{{ .x }}\"\n", want: edit.Template, line: 1},
		"a variable":                      {field: yamlField("a", edit.Tag), in: "a: ${tag}\n", want: edit.Template, line: 1},
		"a Helm template":                 {field: yamlField("a", edit.Tag), in: "a: b\n{{ x }}\n", want: edit.NotYAML},
		"an explicit type":                {field: yamlField("a", edit.Tag), in: "a: !!int 1\n", want: edit.Tagged, line: 1},
		"a reference that would be a tag": {field: yamlField("a", edit.Tag), in: "a: app:1\n", want: edit.NeedsAll, line: 1},
		"a tag that would be a reference": {field: yamlField("tag", edit.Reference), in: "tag: v1\n", want: edit.NeedsTag, line: 1},
		"a tag with a digest":             {field: helm("", "tag", ""), in: "tag: 1@sha256:a\n", want: edit.HoldsMore, line: 1},
		"an address":                      {field: helm("url", "tag", ""), in: "url: oci://a/b\ntag: 1\n", want: edit.HoldsMore, line: 1},
		"another registry": {
			field: helm("repository", "tag", ""), in: "registry: docker.io\nrepository: a\ntag: 1\n",
			want: edit.OtherRegistry, line: 2,
		},
		"a value of SOPS":      {field: yamlField("a", edit.Tag), in: "a: ENC[b]\n", want: edit.Encrypted, line: 1},
		"a file of SOPS":       {field: yamlField("a", edit.Tag), in: "a: b\n" + sops, want: edit.Encrypted},
		"a JSON file of SOPS":  {field: jsonField("a", edit.Tag), in: `{"a":"b","sops":{"mac":"ENC[x]"}}`, want: edit.Encrypted},
		"an .env file of SOPS": {field: regex("A=(?P<version>.*)", edit.Tag), in: "A=1\nsops_mac=ENC[x]\n", want: edit.Encrypted},
		"a large file":         {field: yamlField("a", edit.Tag), in: strings.Repeat("# a\n", edit.MaxSize/4+1), want: edit.TooLarge},
		"a large document": {
			field: yamlField("a", edit.Tag), in: "a: b\n" + strings.Repeat("# a\n", edit.MaxDocument/4), want: edit.TooLarge,
		},
		"no entry of the name":   {field: kustomize("a"), in: "images: [{name: b, newTag: c}]\n", want: edit.MissingField},
		"an entry without a tag": {field: kustomize("a"), in: "images: [{name: a, newName: b}]\n", want: edit.NoTagOrDigest},
		"two entries of the name": {
			field: kustomize("a"), in: "images: [{name: a, newTag: b}, {name: a, digest: b}]\n", want: edit.AmbiguousField,
		},
		"values without a field":          {field: helm("r", "t", "d"), in: "r: a\nt: b\n", want: edit.MissingField},
		"fields of two documents":         {field: helm("r", "t", ""), in: "r: a\n---\nt: b\n", want: edit.Scattered},
		"one field for two parts":         {field: helm("r", "t", "t"), in: "r: a\nt: \"\"\n", want: edit.SameField, line: 2},
		"no JSON":                         {field: jsonField("a", edit.Tag), in: "{\"a\": \"b\",}", want: edit.NotJSONFile},
		"a key of JSON twice":             {field: jsonField("a", edit.Tag), in: `{"a":"b","a":"c"}`, want: edit.AmbiguousField},
		"an object of JSON":               {field: jsonField("a", edit.Tag), in: "{\n\"a\":{}}", want: edit.NotScalar, line: 2},
		"a text without a match":          {field: regex("A=(?P<version>.*)", edit.Tag), in: "B=1\n", want: edit.NoMatch},
		"a match without the group":       {field: regex("A=(?P<version>1)|B", edit.Tag), in: "B\n", want: edit.NoMatch},
		"two matches":                     {field: regex("A=(?P<version>.*)", edit.Tag), in: "A=1\nA=1\n", want: edit.ManyMatches},
		"a new value that does not match": {field: regex("A=(?P<version>1.*)", edit.Tag), in: "A=1\n", want: edit.NotFoundAgain, line: 1},
		"too much to match": {
			field: regex("(?P<version>a{900})", edit.Tag), in: strings.Repeat("b", 1<<20), want: edit.TooMuchWork,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			edited, outcomes, err := tc.field.Set([]byte(tc.in), release)
			var why *edit.FieldError
			if !errors.As(err, &why) {
				t.Fatalf("got %v", err)
			}
			if why.Why != tc.want || why.Line != tc.line || why.Field == "" {
				t.Errorf("got %+v: %v", *why, err)
			}
			if string(edited) != tc.in || outcomes != nil {
				t.Errorf("it became %q: %v", edited, outcomes)
			}
		})
	}
}

func TestAnImageWithoutThePart(t *testing.T) {
	in := "r: a\nt: b\nd: \"\"\n"
	edited, _, err := helm("r", "t", "d").Set([]byte(in), edit.Image{Name: "a", Tag: "2"})
	if !errors.Is(err, edit.ErrMissingPart) || string(edited) != in {
		t.Errorf("got %q, %v", edited, err)
	}
}

func TestSettersThatCannotBeRead(t *testing.T) {
	tests := map[string]struct {
		err  func() error
		want string
	}{
		"no path":              {func() error { return failed(edit.YAMLField("", "")) }, "is empty"},
		"a dot too many":       {func() error { return failed(edit.YAMLField("a..b", "")) }, `path "a..b", at byte 1: a key is empty`},
		"no dot":               {func() error { return failed(edit.YAMLField("a[0]b", "")) }, "separated by a dot"},
		"an open bracket":      {func() error { return failed(edit.JSONField("a[name=b", "")) }, "not closed"},
		"no index":             {func() error { return failed(edit.YAMLField("a[b]", "")) }, `"b" is neither an index`},
		"an index of many":     {func() error { return failed(edit.YAMLField("a[4000000]", "")) }, "neither an index"},
		"an open quote":        {func() error { return failed(edit.YAMLField(`a."b`, "")) }, "a quote is not closed"},
		"a quote in a key":     {func() error { return failed(edit.YAMLField(`a.b"c"`, "")) }, "has to be in quotes"},
		"a long path":          {func() error { return failed(edit.YAMLField(strings.Repeat("a", 1025), "")) }, "may have 1024"},
		"many steps":           {func() error { return failed(edit.YAMLField(strings.Repeat("a.", 40)+"a", "")) }, "more than 32 steps"},
		"no name":              {func() error { return failed(edit.KustomizeImage("")) }, "kustomizeImage is empty"},
		"values without a tag": {func() error { return failed(edit.HelmValues("a", "", "")) }, "neither tag nor digest"},
		"a bad path of values": {func() error { return failed(edit.HelmValues("", "a.", "")) }, "helmValues.tag: path"},
		"no group":             {func() error { return failed(edit.RegexField("a(.*)", "")) }, "no group named version"},
		"two groups":           {func() error { return failed(edit.RegexField("(?P<version>a)|(?P<version>b)", "")) }, "version"},
		"no expression":        {func() error { return failed(edit.RegexField("(", "")) }, "missing closing"},
		"a large expression":   {func() error { return failed(edit.RegexField("(?P<version>(a|b){0,1000})", "")) }, "too large"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tc.err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func failed(_ edit.Field, err error) error { return err }
