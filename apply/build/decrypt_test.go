// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decrypt"
	"github.com/sluice-cd/sluice/test/sops"
)

// decrypting is how files that are encrypted for a key are decrypted.
func decrypting(t *testing.T, key sops.AgeKey) Decrypt {
	t.Helper()
	d, err := (&decrypt.Services{}).New(t.Context(), map[string][]byte{"k.agekey": key.Private()}, decrypt.AllKeys, decrypt.Requester{})
	if err != nil {
		t.Fatal(err)
	}
	return func(data []byte, name string) ([]byte, error) { return d.Decrypt(t.Context(), data, name) }
}

const secretManifest = "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\n    annotations: {note: plain}\nstringData:\n    " +
	"password: hunter2\n    port: \"5432\"\n"

func TestWhatSOPSEncryptedIsBuilt(t *testing.T) {
	key := sops.NewAgeKey(t)
	sealed := func(name, regex, plain string) string {
		return string(key.Encrypt(t, sops.File{Name: name, Regex: regex, Plain: plain}))
	}
	const values = "^(data|stringData|spec)$"
	tests := map[string]struct {
		files map[string]string
		spec  Spec
		kind  string
		want  any
		at    []string
	}{
		"a Secret": {
			files: map[string]string{"a.yaml": sealed("a.yaml", values, secretManifest)},
			kind:  "Secret", at: []string{"stringData", "password"}, want: "hunter2",
		},
		"a Secret beside a plain object in one file": {
			files: map[string]string{"a.yaml": configMap("a") + "---\n" + sealed("a.yaml", values, secretManifest)},
			kind:  "Secret", at: []string{"stringData", "password"}, want: "hunter2",
		},
		"a Secret that is patched, and put into a namespace": {
			files: map[string]string{
				"kustomization.yaml": "namespace: apps\nresources: [a.yaml]\npatches: [{patch: '[{\"op\": \"add\", \"path\": " +
					"\"/metadata/annotations/a\", \"value\": \"b\"}]', target: {kind: Secret}}]",
				"a.yaml": sealed("a.yaml", values, secretManifest),
			},
			kind: "Secret", at: []string{"metadata", "annotations", "a"}, want: "b",
		},
		"any kind, whose numbers stay numbers": {
			files: map[string]string{"a.yaml": sealed("a.yaml", values,
				"apiVersion: example.com/v1\nkind: Thing\nmetadata:\n    name: t\nspec:\n    size: 1000000\n    on: true\n")},
			kind: "Thing", at: []string{"spec", "size"}, want: int64(1000000),
		},
		"values with variables": {
			files: map[string]string{"a.yaml": sealed("a.yaml", values, strings.Replace(secretManifest, "hunter2", "${NAME}-x", 1))},
			spec:  Spec{Substitution: &Substitution{Values: map[string]string{"NAME": "hunter2"}}},
			kind:  "Secret", at: []string{"stringData", "password"}, want: "hunter2-x",
		},
		"a patch": {
			files: map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]",
				"a.yaml":             secretManifest,
				"p.yaml":             sealed("p.yaml", values, strings.Replace(secretManifest, "hunter2", "patched", 1)),
			},
			kind: "Secret", at: []string{"stringData", "password"}, want: "patched",
		},
		"a dotenv file of a generator": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, envs: [db.env]}]", "db.env": sealed("db.env", "",
				"PASSWORD=hunter2\n")},
			kind: "Secret", at: []string{"data", "PASSWORD"}, want: "aHVudGVyMg==",
		},
		"a dotenv file of any name": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, envs: [db.enc]}]", "db.enc": sealed("db.env", "",
				"PASSWORD=hunter2\n")},
			kind: "Secret", at: []string{"data", "PASSWORD"}, want: "aHVudGVyMg==",
		},
		"any file of a generator": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, files: [password=p.enc]}]", "p.enc": sealed("p", "",
				"hunter2")},
			kind: "Secret", at: []string{"data", "password"}, want: "aHVudGVyMg==",
		},
		"a YAML file that is wanted as JSON": {
			files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, files: [c.json=c.yaml]}]", "c.yaml": sealed("c.yaml",
				"", "a: b\n")},
			kind: "ConfigMap", at: []string{"data", "c.json"}, want: "{\n\t\"a\": \"b\"\n}\n",
		},
		"an INI file of a generator of ConfigMaps": {
			files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, files: [c.ini]}]", "c.ini": sealed("c.ini", "",
				"[a]\nb = hunter2\n")},
			kind: "ConfigMap", at: []string{"data", "c.ini"}, want: "[a]\nb = hunter2\n",
		},
		"a generator in a file of its own": {
			files: map[string]string{"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("SecretGenerator", "envs: [db.env]"),
				"db.env": sealed("db.env", "", "PASSWORD=hunter2\n")},
			kind: "Secret", at: []string{"data", "PASSWORD"}, want: "aHVudGVyMg==",
		},
		"a base's generator": {
			files: map[string]string{
				"kustomization.yaml": "resources: [base]", "base/kustomization.yaml": "secretGenerator: [{name: g, files: [p.txt]}]",
				"base/p.txt": sealed("p.txt", "", "hunter2"),
			},
			kind: "Secret", at: []string{"data", "p.txt"}, want: "aHVudGVyMg==",
		},
		"a file in a Secret that is not encrypted itself": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  c.yaml: " + base64Of(sealed("c.yaml",
				"", "k: v\n"))},
			kind: "Secret", at: []string{"data", "c.yaml"}, want: base64Of("k: v\n"),
		},
		"the same as a text": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  c.yaml: |\n    " +
				strings.ReplaceAll(sealed("c.yaml", "", "k: v\n"), "\n", "\n    ")},
			kind: "Secret", at: []string{"stringData", "c.yaml"}, want: "k: v\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for where, b := range map[string]*Builder{"here": {}, "in a process": isolating(t)} {
				files := map[string]string{}
				for name, text := range tc.files {
					files[name] = text
				}
				if where != "here" { // what cannot be measured is built in a process
					files["kustomization.yaml"] += "\ncrds: [crd.yaml]\n"
					if tc.files["kustomization.yaml"] == "" {
						files["kustomization.yaml"] += "resources: [a.yaml]\n"
					}
					files["crd.yaml"] = "{}"
				}
				spec := tc.spec
				spec.Decrypt = decrypting(t, key)
				result, err := b.Build(t.Context(), owner, treeOf(t, files), spec)
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				var got any
				for _, obj := range result.Objects {
					if obj.GetKind() == tc.kind {
						got, _, _ = unstructured.NestedFieldNoCopy(obj.Object, tc.at...)
						if _, left := obj.Object["sops"]; left {
							t.Errorf("%s: the metadata of SOPS is left", where)
						}
					}
				}
				if got != tc.want {
					t.Errorf("%s: got %#v", where, got)
				}
			}
		})
	}
}

func TestWhatIsMeantToStayEncryptedDoes(t *testing.T) {
	key := sops.NewAgeKey(t)
	manifest := strings.Replace(secretManifest, "note: plain", "kustomize.toolkit.fluxcd.io/decrypt: Disabled", 1)
	sealed := string(key.Encrypt(t, sops.File{Name: "a.yaml", Regex: "^stringData$", Plain: manifest}))
	result, err := Build(treeOf(t, map[string]string{"a.yaml": sealed}), Spec{Decrypt: decrypting(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	if value, _, _ := unstructured.NestedString(result.Objects[0].Object, "stringData", "password"); !strings.HasPrefix(value, "ENC[") {
		t.Errorf("got %s", value)
	}
}

// Whoever had set spec.decryption was told to set it.
func TestWhatIsNotDecryptedThereSaysSo(t *testing.T) {
	key := sops.NewAgeKey(t)
	sealed := string(key.Encrypt(t, sops.File{Name: "c.yaml", Plain: "k: v\n"}))
	manifest := "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec:\n  values: |\n    " +
		strings.ReplaceAll(sealed, "\n", "\n    ")
	for where, files := range map[string]map[string]string{
		"here":         {"a.yaml": manifest},
		"in a process": {"kustomization.yaml": "resources: [a.yaml]\ncrds: [crd.yaml]", "crd.yaml": "{}", "a.yaml": manifest},
	} {
		_, err := isolating(t).Build(t.Context(), owner, treeOf(t, files), Spec{Decrypt: decrypting(t, key)})
		const want = "Thing/t: spec.values (from a.yaml) is SOPS encrypted, and is decrypted only in Secrets, ConfigMaps and files of generators"
		if !errors.Is(err, ErrStaysEncrypted) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "set spec.decryption") {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestAFailedDecryptionIsTriedAgain(t *testing.T) {
	key, other := sops.NewAgeKey(t), sops.NewAgeKey(t)
	for name, files := range map[string]map[string]string{
		"of an object": {"a.yaml": string(key.Encrypt(t, sops.File{Name: "a.yaml", Regex: "^stringData$", Plain: secretManifest}))},
		"of a file": {
			"kustomization.yaml": "secretGenerator: [{name: g, files: [p.txt]}]", "p.txt": string(key.Encrypt(t, sops.File{Name: "p.txt",
				Plain: "hunter2"})),
		},
		"in a process": {
			"kustomization.yaml": "secretGenerator: [{name: g, files: [p.txt]}]\ncrds: [crd.yaml]", "crd.yaml": "{}",
			"p.txt": string(key.Encrypt(t, sops.File{Name: "p.txt", Plain: "hunter2"})),
		},
	} {
		_, err := isolating(t).Build(t.Context(), owner, treeOf(t, files), Spec{Decrypt: decrypting(t, other)})
		if err == nil || IsRefused(err) || !strings.Contains(err.Error(), "none of the age keys fits") || strings.Contains(err.Error(),
			"hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The library of SOPS follows aliases without counting what they stand for.
func TestAnEncryptedFileIsNoBomb(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for _, name := range []string{"b", "c", "d", "e", "f", "g", "h"} {
		before := string(name[0] - 1)
		bomb += name + ": &" + name + " [" + strings.TrimSuffix(strings.Repeat("*"+before+", ", 9), ", ") + "]\n"
	}
	bomb += "password: " + enc + "\nsops:\n  mac: " + enc + "\n"
	called := false
	_, err := Build(treeOf(t, map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, files: [v.yaml]}]", "v.yaml": bomb}), Spec{
		Decrypt: func([]byte, string) ([]byte, error) { called = true; return nil, errors.New("asked") },
	})
	if !errors.Is(err, ErrTooLarge) || called {
		t.Errorf("got %v, asked %v", err, called)
	}
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
