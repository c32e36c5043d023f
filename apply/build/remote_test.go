// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/builtins"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-cd/sluice/internal/tree"
)

// offline makes the test fail if a build opens a connection, runs git, or leaves
// anything in the directory for temporary files.
func offline(t *testing.T) {
	t.Helper()
	bin, temporary := t.TempDir(), t.TempDir()
	ran := filepath.Join(bin, "ran")
	script := "#!/bin/sh\necho \"$@\" >> " + ran + "\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o700); err != nil { // it has to run
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("TMPDIR", temporary)
	before := http.DefaultTransport
	http.DefaultTransport = refusing{t}
	t.Cleanup(func() {
		http.DefaultTransport = before
		if said, err := os.ReadFile(ran); err == nil {
			t.Errorf("git ran: %s", said)
		}
		if left, _ := os.ReadDir(temporary); len(left) > 0 {
			t.Errorf("%s is left behind", left[0].Name())
		}
	})
}

type refusing struct{ t *testing.T }

func (r refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("connected to %s", req.URL)
	return nil, errors.New("refused")
}

// remoteForms are all forms that kustomize takes for something remote.
var remoteForms = []string{
	"http://192.0.2.1/meta", "HTTPS://example.com/a?b=c", "https://example.com/a\n",
	"https://example.com/org/repo.git?ref=main&submodules=true&timeout=3&x=\n",
	"file:///nowhere/victim.git?ref=main&x=\n", "git::https://example.com/org/repo", "ssh://git@host/org/repo",
	"git@host:org/repo", "Git@host.example/org/repo\n", "github.com/org/repo//base?ref=main", "GitHub.com:org/repo",
}

// reachable are kustomizations that refer to REF, one for each way.
var reachable = map[string]map[string]string{
	"resources":      {"kustomization.yaml": "resources: [REF]"},
	"bases":          {"kustomization.yaml": "bases: [REF]"},
	"components":     {"kustomization.yaml": "components: [REF]"},
	"crds":           {"kustomization.yaml": "crds: [REF]\nresources: [cm.yaml]"},
	"configurations": {"kustomization.yaml": "configurations: [REF]\nresources: [cm.yaml]"},
	"openapi":        {"kustomization.yaml": "openapi: {path: REF}\nresources: [cm.yaml]"},
	"patches":        {"kustomization.yaml": "patches: [{path: REF}]\nresources: [cm.yaml]"},
	"patchesJson6902": {
		"kustomization.yaml": "patchesJson6902: [{path: REF, target: {kind: ConfigMap, name: cm, version: v1}}]\nresources: [cm.yaml]",
	},
	"patchesStrategicMerge": {"kustomization.yaml": "patchesStrategicMerge: [REF]\nresources: [cm.yaml]"},
	"replacements":          {"kustomization.yaml": "replacements: [{path: REF}]\nresources: [cm.yaml]"},
	"generator files":       {"kustomization.yaml": "configMapGenerator: [{name: a, files: [REF]}]"},
	"generator named files": {"kustomization.yaml": "secretGenerator: [{name: a, files: [KEYREF]}]"},
	"generator envs":        {"kustomization.yaml": "secretGenerator: [{name: a, envs: [REF]}]"},
	"generator env":         {"kustomization.yaml": "configMapGenerator: [{name: a, env: REF}]"},
	"generators":            {"kustomization.yaml": "generators: [REF]"},
	"transformers":          {"kustomization.yaml": "transformers: [REF]\nresources: [cm.yaml]"},
	"validators":            {"kustomization.yaml": "validators: [REF]\nresources: [cm.yaml]"},
	"a field in capitals":   {"kustomization.yaml": "RESOURCES: [REF]"},
	"a base":                {"kustomization.yaml": "resources: [base]", "base/Kustomization": "resources: [REF]"},
	"a generator's file":    {"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("ConfigMapGenerator", "files: [REF]")},
	"a generator's env":     {"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("SecretGenerator", "envs: [REF]")},
	"in capitals":           {"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("SecretGenerator", "ENVS: [REF]")},
	"of a list": {
		"kustomization.yaml": "generators: [g.yaml]",
		"g.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: builtin, kind: ConfigMapGenerator, " +
			"metadata: {name: a}, envs: [REF]}\n",
	},
	"a second document": {
		"kustomization.yaml": "generators: [g.yaml]",
		"g.yaml":             plugin("SecretGenerator", "literals: [a=b]") + "---\n" + plugin("ConfigMapGenerator", "env: REF"),
	},
	"a transformer's file": {
		"kustomization.yaml": "transformers: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("PatchTransformer", "path: REF\ntarget: {kind: ConfigMap}"),
	},
	"a JSON patch's file": {
		"kustomization.yaml": "transformers: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("PatchJson6902Transformer", "path: REF\ntarget: {kind: ConfigMap, name: cm, version: v1}"),
	},
	"a merge patch's file": {
		"kustomization.yaml": "transformers: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("PatchStrategicMergeTransformer", "paths: [REF]"),
	},
	"a replacement's file": {
		"kustomization.yaml": "transformers: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("ReplacementTransformer", "replacements: [{path: REF}]"),
	},
	"a value from a file": {
		"kustomization.yaml": "transformers: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("ValueAddTransformer", "value: a\ntargetFilePath: REF"),
	},
	"a validator's file": {
		"kustomization.yaml": "validators: [t.yaml]\nresources: [cm.yaml]",
		"t.yaml":             plugin("PatchTransformer", "path: REF\ntarget: {kind: ConfigMap}"),
	},
	"a directory of plugins": {
		"kustomization.yaml":     "transformers: [all]\nresources: [cm.yaml]",
		"all/kustomization.yaml": "resources: [t.yaml]",
		"all/t.yaml":             plugin("PatchTransformer", "path: REF\ntarget: {kind: ConfigMap}"),
	},
	"plugins of a directory": {
		"kustomization.yaml":     "transformers: [all]\nresources: [cm.yaml]",
		"all/kustomization.yaml": "resources: [REF]",
	},
	"an inline transformer": {
		"kustomization.yaml": "transformers:\n- |-\n  apiVersion: builtin\n  kind: PatchTransformer\n" +
			"  metadata: {name: a}\n  path: REF\n  target: {kind: ConfigMap}\nresources: [cm.yaml]",
	},
	"an inline generator": {
		"kustomization.yaml": "generators:\n- \"{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: " +
			"a}, env: http://192.0.2.1/REF}\"\n",
	},
}

func plugin(kind, fields string) string {
	return "apiVersion: builtin\nkind: " + kind + "\nmetadata: {name: p}\n" + fields + "\n"
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"` }

func TestNothingRemoteIsReached(t *testing.T) {
	offline(t)
	for name, files := range reachable {
		for _, ref := range remoteForms {
			made := map[string]string{"cm.yaml": configMap("cm")}
			for file, content := range files {
				content = strings.ReplaceAll(content, "KEYREF", quoted("key="+ref))
				if strings.Contains(content, `"{`) { // in quotes already
					content = strings.ReplaceAll(content, "REF", "a")
				}
				made[file] = strings.ReplaceAll(content, "REF", quoted(ref))
			}
			if _, err := Build(treeOf(t, made), Spec{}); err == nil {
				t.Errorf("%s: built with %q", name, ref)
			}
		}
	}
}

// A URL that is in no file can still be put together by kustomize itself.
func TestConfigurationOfPluginsIsNotPutTogether(t *testing.T) {
	offline(t)
	for name, k := range map[string]string{
		"by a patch":  "patches: [{patch: '[{op: replace, path: /path, value: http://192.0.2.1/}]', target: {kind: PatchTransformer}}]",
		"by a prefix": "namePrefix: http://\nconfigurations: [c.yaml]",
		"by a replacement": "replacements: [{source: {kind: PatchTransformer}, targets: [{select: {kind: " +
			"PatchTransformer}, fieldPaths: [path], options: {delimiter: /}}]}]",
		"by a generator":     "configMapGenerator: [{name: a, literals: [a=b]}]",
		"by a component":     "components: [c]",
		"by its own plugins": "transformers: [u.yaml]",
	} {
		_, err := Build(treeOf(t, map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\ntransformers: [all]", "cm.yaml": configMap("cm"),
			"all/kustomization.yaml": "resources: [t.yaml]\n" + k,
			"all/t.yaml":             plugin("PatchTransformer", "path: a/b\ntarget: {kind: ConfigMap}"),
			"all/c.yaml":             "namePrefix: [{path: path, kind: PatchTransformer}]\n",
		}), Spec{})
		if err == nil || !strings.Contains(err.Error(), "all/kustomization.yaml may have nothing but resources") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWhatOnlyLooksRemoteIsBuilt(t *testing.T) {
	offline(t)
	patch := "patches:\n- patch: |-\n    - op: add\n      path: /data\n      value: {url: https://example.com}\n  target: {kind: ConfigMap}\n"
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"a JSON patch with newlines": {map[string]string{"kustomization.yaml": "resources: [cm.yaml]\n" + patch}, "https://example.com"},
		"an inline merge patch": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\npatchesStrategicMerge:\n- |-\n  apiVersion: v1\n" +
				"  kind: ConfigMap\n  metadata: {name: cm}\n  data: {a: git@host:org/repo}\n"}, "git@host:org/repo"},
		"a merge patch in a file": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\npatchesStrategicMerge: [p.yaml]", "p.yaml": configMap("cm", "a: found")}, "found"},
		"a literal with a URL": {map[string]string{
			"kustomization.yaml": "configMapGenerator: [{name: a, literals: ['url=https://example.com/a?b=c']}]"}, "https://example.com/a?b=c"},
		"an image of a registry": {map[string]string{
			"kustomization.yaml": "resources: [d.yaml]\nimages: [{name: ghcr.io/org/app, newName: 'registry:5000/app', newTag: v2}]",
			"d.yaml":             deployment}, "registry:5000/app:v2"},
		"annotations with a URL": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\ncommonAnnotations: {docs: 'https://example.com'}"}, "https://example.com"},
		"a generator in a file": {map[string]string{
			"kustomization.yaml": "generators: [g.yaml]", "g.yaml": plugin("ConfigMapGenerator", "files: [k=a.txt]\nenvs: [a.env]"),
			"a.txt": "found", "a.env": "A=http://b"}, "http://b"},
		"transformers in a directory": {map[string]string{
			"kustomization.yaml":         "resources: [cm.yaml]\ntransformers: [all/one]",
			"all/one/kustomization.yaml": "resources: [../t.yaml, more]", "all/one/more/kustomization.yaml": "resources: [../../l.yaml]",
			"all/t.yaml": plugin("PatchTransformer", "path: p.yaml\ntarget: {kind: ConfigMap}"),
			"all/l.yaml": plugin("LabelTransformer", "labels: {a: b}\nfieldSpecs: [{path: metadata/labels, create: true}]"),
			"p.yaml":     "- {op: add, path: /data, value: {a: found}}"}, `"labels":{"a":"b"}`},
		"a replacement from a file": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml, d.yaml]\nreplacements: [{path: r.yaml}]", "d.yaml": deployment,
			"r.yaml": "source: {kind: ConfigMap, fieldPath: metadata.name}\ntargets: [{select: {kind: Deployment}, " +
				"fieldPaths: ['metadata.annotations.found'], options: {create: true}}]"}, `"found":"cm"`},
		"configurations and crds": {map[string]string{
			"kustomization.yaml": "resources: [cm.yaml]\nnamePrefix: p-\nconfigurations: [c.yaml]\ncrds: [crd.json]",
			"c.yaml":             "namePrefix: [{path: data/name}]", "crd.json": "{}",
			"cm.yaml": configMap("cm", "name: a")}, "p-a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.files["cm.yaml"] == "" {
				tc.files["cm.yaml"] = configMap("cm")
			}
			got, err := Build(treeOf(t, tc.files), Spec{})
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, obj := range got.Objects {
				data, _ := obj.MarshalJSON()
				all.Write(data)
			}
			if !strings.Contains(all.String(), tc.want) {
				t.Errorf("objects %s lack %s", all.String(), tc.want)
			}
		})
	}
}

// A field that kustomize reads something through has to be vetted. This fails when a
// new version has fields that nobody has looked at.
func TestEveryFieldOfKustomizeIsKnown(t *testing.T) {
	const reads = "bases components configMapGenerator configurations crds generators helmChartInflationGenerator helmCharts " +
		"openapi patches patchesJson6902 patchesStrategicMerge replacements resources secretGenerator transformers validators"
	const other = "TypeMeta buildMetadata commonAnnotations commonLabels generatorOptions helmGlobals imageTags images labels " +
		"metadata namePrefix nameSuffix namespace replicas sortOptions vars"
	known := strings.Fields(reads + " " + other)
	if unknown := unvetted(reflect.TypeFor[kustypes.Kustomization](), known); len(unknown) > 0 {
		t.Errorf("kustomization files have fields that are not vetted: %v", unknown)
	}
	for name, tc := range map[string]struct {
		of    reflect.Type
		known string
	}{
		"patch":       {reflect.TypeFor[kustypes.Patch](), "path patch target options"},
		"replacement": {reflect.TypeFor[kustypes.ReplacementField](), "Replacement path"},
		"generator":   {reflect.TypeFor[kustypes.KvPairSources](), "literals files envs env"},
		"patches":     {reflect.TypeFor[builtins.PatchTransformerPlugin](), "path patch target options"},
		"JSON":        {reflect.TypeFor[builtins.PatchJson6902TransformerPlugin](), "target path jsonOp"},
		"merge":       {reflect.TypeFor[builtins.PatchStrategicMergeTransformerPlugin](), "paths patches"},
		"value":       {reflect.TypeFor[builtins.ValueAddTransformerPlugin](), "value targets targetFilePath"},
	} {
		if unknown := unvetted(tc.of, strings.Fields(tc.known)); len(unknown) > 0 {
			t.Errorf("%s: fields that are not vetted: %v", name, unknown)
		}
	}
}

func unvetted(of reflect.Type, known []string) []string {
	var unknown []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if field.IsExported() && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// What comes out of the vetting can be nothing but local, whatever went in.
func FuzzVet(f *testing.F) {
	for _, files := range reachable {
		for _, content := range files {
			f.Add([]byte(strings.ReplaceAll(content, "REF", `"https://example.com/a\n"`)))
			f.Add([]byte(strings.ReplaceAll(content, "REF", "a")))
		}
	}
	f.Add([]byte("apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: a}\npath: a\ngenerators: [g.yaml]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := tree.New(map[string]tree.Content{"kustomization.yaml": {Data: data}, "g.yaml": {Data: data}, "a": {Data: []byte("a")}})
		if err != nil {
			t.Skip()
		}
		o := newOverlay(nil, made, Bounds{}.withDefaults(), unboundedMemory{}) //nolint:staticcheck // nothing ends it
		k, err := o.kustomization(mount + "/kustomization.yaml")
		if err != nil || k.Kustomization == nil {
			return
		}
		var again kustypes.Kustomization
		if err := again.Unmarshal(k.data); err != nil {
			t.Fatalf("%q became %q: %v", data, k.data, err)
		}
		refs := append(append(append(append(append([]string{}, again.Resources...), again.Bases...), again.Components...), again.Crds...),
			again.Configurations...)
		refs = append(append(append(append(refs, again.Generators...), again.Transformers...), again.Validators...), again.OpenAPI["path"])
		for _, p := range append(again.Patches, again.PatchesJson6902...) {
			refs = append(refs, p.Path)
		}
		for _, g := range again.ConfigMapGenerator {
			refs = append(append(refs, g.EnvSources...), g.EnvSource)
			for _, source := range g.FileSources {
				refs = append(refs, source[strings.Index(source, "=")+1:])
			}
		}
		for _, document := range append(append(again.Generators, again.Transformers...), again.Validators...) {
			refs = append(refs, pluginRefs(t, document)...)
		}
		for _, ref := range refs {
			if mayBeRemote(ref) {
				t.Errorf("%q leaves %q", data, ref)
			}
		}
	})
}

// pluginRefs are the paths in a document that configures plugins.
func pluginRefs(t *testing.T, document string) []string {
	found, err := newResources([]byte(document))
	if err != nil {
		t.Fatalf("%q is no document: %v", document, err)
	}
	var refs []string
	for _, res := range found.Resources() {
		config, err := res.Map()
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range config {
			for _, field := range []string{"path", "paths", "envs", "env", "targetFilePath"} {
				if strings.EqualFold(key, field) {
					_, _ = each(value, func(ref any) (any, error) {
						if text, ok := ref.(string); ok {
							refs = append(refs, text)
						}
						return ref, nil
					})
				}
			}
		}
	}
	return refs
}
