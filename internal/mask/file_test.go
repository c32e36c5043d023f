// SPDX-License-Identifier: Apache-2.0

package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-cd/sluice/internal/mask"
)

func TestLinesOfAFileWithoutSecrets(t *testing.T) {
	for name, tc := range map[string]struct{ file, in, want string }{
		"a manifest without any": {in: "kind: ConfigMap\ndata:\n  a: b", want: "kind: ConfigMap\ndata:\n  a: b"},
		"values of a Secret": {
			in: "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x # y\ndata:\n  user: YQ== # a\n  \"pass word\": |-\n    Yg==\n\n    Yw==\n" +
				"stringData: {a: b}\ntype: Opaque",
			want: "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x # y\ndata:\n  user: *****\n  \"pass word\": *****\n    *****\n\n    *****\n" +
				"stringData: *****\ntype: Opaque",
		},
		"comments between values": {
			in: "kind: Secret\nstringData: # a\n  # pw: b\n  c: d\n# e\n", want: "kind: Secret\nstringData:\n  *****\n  c: *****\n*****\n",
		},
		"text that is less indented than it might be": {
			in:   "kind: Secret\nstringData:\n  a: \"b\n c\n\n d\"\ntype: Opaque",
			want: "kind: Secret\nstringData:\n  a: *****\n *****\n\n *****\ntype: Opaque",
		},
		"the Secret among documents": {
			in: "kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\ndata:\n  a: b\n...\nkind: Secret\ndata:\n  a: b\n--- # c\ndata:\n  a: b",
			want: "kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\ndata:\n  a: *****\n...\nkind: Secret\ndata:\n" +
				"  a: *****\n--- # c\ndata:\n  a: b",
		},
		"a Secret in a list": {
			in:   "kind: List\nitems:\n- kind: Secret\n  data:\n    a: b\n- kind: ConfigMap\n  data:\n    a: b",
			want: "kind: List\nitems:\n- kind: Secret\n  data:\n    a: *****\n- kind: ConfigMap\n  data:\n    a: b",
		},
		"a list of Secrets": {in: "kind: SecretList\nitems:\n- data:\n    a: b", want: "kind: SecretList\nitems:\n*****\n    *****"},
		"JSON": {
			in:   "{\n  \"kind\": \"Secret\",\n  \"data\": {\n    \"a\": \"b\"\n  },\n  \"type\": \"Opaque\"\n}",
			want: "{\n  \"kind\": \"Secret\",\n  \"data\": *****\n    *****\n  *****\n  \"type\": \"Opaque\"\n}",
		},
		"JSON on one line":       {in: `{"data":{"a":"b"},"stringData":{"c":"d"},"kind":"Secret"}`, want: `*****`},
		"flow style on one line": {in: `{data: {a: b}, stringData: {c: d}, kind: Secret}`, want: `{data: *****`},
		"a Secret of another group": {
			in: "apiVersion: example.com/v1\nkind: Secret\ndata:\n  a: b", want: "apiVersion: example.com/v1\nkind: Secret\ndata:\n  a: b",
		},
		"literals of a secretGenerator": {
			in:   "configMapGenerator:\n- literals: [a=b]\nsecretGenerator:\n- name: x\n  literals:\n  - a=b\n  type: Opaque\nimages: []",
			want: "configMapGenerator:\n- literals: [a=b]\nsecretGenerator:\n- name: x\n  literals:\n  *****\n  type: Opaque\nimages: []",
		},
		"a patch of a Secret": {
			in:   "patches:\n- target:\n    kind: Secret\n  patch: |-\n    - op: add\n      value: b\n- target: {kind: Deployment}\n  patch: x",
			want: "patches:\n- target:\n    kind: Secret\n  patch: *****\n    *****\n      *****\n- target: {kind: Deployment}\n  patch: x",
		},
		"a Secret in a text": {
			in:   "patches:\n- patch: |-\n    kind: Secret\n    stringData:\n      a: b\n  options: {}",
			want: "patches:\n- patch: *****\n    *****\n    *****\n      *****\n  options: {}",
		},
		"what SOPS encrypted": {
			in:   "kind: ConfigMap\ndata:\n  a: ENC[AES256_GCM,data:b,iv:c,tag:d,type:str]\n  e: f\nsops:\n  mac: x\n  age:\n  - enc: y",
			want: "kind: ConfigMap\ndata:\n  a: *****\n  e: f\nsops:\n  mac: *****\n  age:\n  *****",
		},
		"dotenv": {file: "prod.env", in: "# a\nA=b\nexport C=d\ne", want: "*****\nA=*****\nexport C=*****\n*****"},
		"dotenv that SOPS encrypted": {
			file: "x", in: "A=ENC[AES256_GCM,data:b]\nsops_mac=c", want: "*****\n*****",
		},
		"a template": {
			in: "{{ if .x }}\nkind: Secret\ndata:\n  a: b\n{{ end }}", want: "*****\n*****\n*****\n  *****\n*****",
		},
		"an alias": {
			in: "x: &x {a: b}\nitem:\n  kind: Secret\n  data: *x", want: "*****\n*****\n  *****\n  *****",
		},
		"lines that only the parser breaks": {
			in: "kind: Secret\nmetadata: {name: a} # \u2028b\ndata:\n  a: b", want: "*****\n*****\n*****\n  *****",
		},
		"lines of Windows": {in: "kind: Secret\r\ndata:\r\n  a: b\r", want: "kind: Secret\r\ndata:\n  a: *****"},
	} {
		t.Run(name, func(t *testing.T) {
			file := tc.file
			if file == "" {
				file = "apps/x.yaml"
			}
			got := strings.Join(mask.File(file, strings.Split(tc.in, "\n")), "\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzFile has values of a Secret hidden whatever stands around them.
func FuzzFile(f *testing.F) {
	f.Add("metadata:\n  name: x\n", "type: Opaque\n", "  ")
	f.Add("# a\n", "immutable: true # b\n---\nkind: X\n", "    ")
	f.Add("x: {a: [b,\n c]}\n", "", " ")
	f.Add("\tx: \"\n", "...\n", "\t")
	f.Fuzz(func(t *testing.T, before, after, indent string) {
		const secret = "c2VjcmV0LXZhbHVl"
		text := "kind: Secret\n" + before + "\ndata:\n" + indent + "key: " + secret + "\n" + after
		lines := strings.Split(text, "\n")
		got := mask.File("x.yaml", lines)
		if len(got) != len(lines) {
			t.Fatalf("%d lines became %d", len(lines), len(got))
		}
		if joined := strings.Join(got, "\n"); strings.Contains(joined, secret) && hasSecret(text, secret) {
			t.Errorf("%q became %q", text, joined)
		}
	})
}

// hasSecret reports whether one of the manifests is a Secret with a value, as far as the parser can read them.
func hasSecret(text, value string) bool {
	documents := yaml.NewDecoder(strings.NewReader(text))
	for {
		var object struct {
			APIVersion string         `yaml:"apiVersion"`
			Kind       string         `yaml:"kind"`
			Data       map[string]any `yaml:"data"`
		}
		if documents.Decode(&object) != nil {
			return false
		}
		if object.Kind == "Secret" && !strings.Contains(object.APIVersion, "/") && strings.Contains(fmt.Sprint(object.Data), value) {
			return true
		}
	}
}
