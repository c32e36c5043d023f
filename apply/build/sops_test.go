// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"strings"
	"testing"
)

const enc = "ENC[AES256_GCM,data:c2VjcmV0,iv:aXYxMjM0NTY3ODkwMTIzNA==,tag:dGFnMTIzNDU2Nzg5MDEyMw==,type:str]"

func TestWhatSOPSEncryptedIsRefused(t *testing.T) {
	values := "password: " + enc + "\nsops:\n  age: []\n  mac: " + enc + "\n  version: 3.10.2\n"
	dotenv := "PASSWORD=" + enc + "\nsops_mac=" + enc + "\nsops_version=3.10.2\n"
	generator := func(kind, sources string) string { return kind + ": [{name: gen, " + sources + "}]\n" }
	tests := map[string]struct {
		files map[string]string
		says  string
	}{
		"a Secret": {
			map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: '" + enc + "'}\nsops: {mac: x}"},
			"Secret/a: stringData.k (from a.yaml)",
		},
		"a ConfigMap": {
			map[string]string{"a.yaml": configMap("a", "k: "+enc) + "sops: {mac: x}"},
			"ConfigMap/a: data.k (from a.yaml)",
		},
		"only its metadata": {map[string]string{"a.yaml": configMap("a", "k: v") + "sops: {mac: x}"}, "ConfigMap/a: sops"},
		"any kind": {
			map[string]string{
				"a.yaml": "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\nspec: {url: '" + enc + "'}\nsops: {}",
			},
			"GitRepository/a: spec.url (from a.yaml)",
		},
		"a nested Kustomization": {
			map[string]string{
				"a.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a}\nspec: {postBuild: {substitute: {k: '" +
					enc + "'}}}",
			},
			"Kustomization/a: spec.postBuild.substitute.k",
		},
		"a patch": {
			map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]",
				"a.yaml":             configMap("a"),
				"p.yaml":             configMap("a", "k: "+enc),
			},
			"(from p.yaml)",
		},
		"a dotenv file": {
			map[string]string{"kustomization.yaml": generator("secretGenerator", "envs: [db.env]"), "db.env": dotenv},
			"data.PASSWORD (from db.env)",
		},
		"a YAML file": {
			map[string]string{"kustomization.yaml": generator("secretGenerator", "files: [v.yaml]"), "v.yaml": values},
			"data.v.yaml (from v.yaml)",
		},
		"a YAML file in a ConfigMap": {
			map[string]string{"kustomization.yaml": generator("configMapGenerator", "files: [k=v.yaml]"), "v.yaml": values},
			"data.k (from v.yaml)",
		},
		"an INI file": {
			map[string]string{
				"kustomization.yaml": generator("secretGenerator", "files: [v.ini]"),
				"v.ini":              "[a]\nb = " + enc + "\n[sops]\nmac = " + enc,
			},
			"(from v.ini)",
		},
		"a JSON or binary file": {
			map[string]string{
				"kustomization.yaml": generator("secretGenerator", "files: [v.bin]"),
				"v.bin":              `{"data": "` + enc + `", "sops": {"mac": "` + enc + `"}}`,
			},
			"(from v.bin)",
		},
		"through a generator": {
			map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("SecretGenerator", "envs: [db.env]"), "db.env": dotenv},
			"(from db.env)",
		},
		"through a link": {
			map[string]string{"kustomization.yaml": generator("secretGenerator", "envs: [l.env]"), "l.env": "-> db.env", "db.env": dotenv},
			"(from l.env)",
		},
		"an inline literal": {
			map[string]string{"kustomization.yaml": generator("secretGenerator", "literals: ['k="+enc+"']")},
			"data.k",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Build(treeOf(t, tc.files), Spec{})
			if !errors.Is(err, ErrEncrypted) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
		})
	}
}

func TestWhatIsNoCiphertextIsBuilt(t *testing.T) {
	for name, manifest := range map[string]string{
		"a text about it": configMap("a", "text: values look like ENC[AES256_GCM,...]"),
		"an object that says so": strings.Replace(configMap("a", "k: "+enc),
			"  name: a\n", "  name: a\n  annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}\n", 1),
		"what is decrypted in the cluster": "apiVersion: isindir.github.com/v1alpha3\nkind: SopsSecret\nmetadata: {name: a}\nspec: {k: '" + enc +
			"'}\nsops: {mac: x}",
		"a text of the same name": "apiVersion: example.com/v1\nkind: Tool\nmetadata: {name: a}\nsops: enabled",
	} {
		if _, err := Build(treeOf(t, map[string]string{"a.yaml": manifest}), Spec{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
