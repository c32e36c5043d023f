// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"strings"
	"testing"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/internal/tree"
)

func configMap(name string, data ...string) string {
	out := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
	if len(data) > 0 {
		out += "data:\n  " + strings.Join(data, "\n  ") + "\n"
	}
	return out
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
spec:
  template:
    spec:
      containers:
      - name: app
        image: ghcr.io/org/app:1.0.0
`

// treeOf makes a tree of files; "-> target" is a symbolic link.
func treeOf(t testing.TB, files map[string]string) tree.Tree {
	t.Helper()
	contents := map[string]tree.Content{}
	for name, content := range files {
		contents[name] = tree.Content{Data: []byte(content)}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			contents[name] = tree.Content{Mode: tree.Symlink, Data: []byte(target)}
		}
	}
	made, err := tree.New(contents)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// subjects are the built objects as Kind/namespace/name.
func subjects(r *Result) []string {
	var out []string
	for _, obj := range r.Objects {
		out = append(out, strings.Join([]string{obj.GetKind(), obj.GetNamespace(), obj.GetName()}, "/"))
	}
	return out
}

func TestBuild(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		spec  Spec
		want  []string
	}{
		"plain manifests need no kustomization.yaml": {
			files: map[string]string{
				"apps/a.yaml":     configMap("a"),
				"apps/deep/b.yml": configMap("b"),
				"apps/README.md":  "no",
				"other.yaml":      configMap("c"),
			},
			spec: Spec{Path: "./apps"},
			want: []string{"ConfigMap//a", "ConfigMap//b"},
		},
		"a directory with a kustomization.yaml is taken as a whole": {
			files: map[string]string{
				"apps/kept/kustomization.yaml": "resources: [a.yaml]", "apps/kept/a.yaml": configMap("a"), "apps/kept/not.yaml": configMap("not"),
			},
			spec: Spec{Path: "apps", TargetNamespace: "staging"},
			want: []string{"ConfigMap/staging/a"},
		},
		"an empty directory builds nothing": {
			files: map[string]string{"apps/README.md": "no manifests yet"},
			spec:  Spec{Path: "/apps/"},
		},
		"bases, components and generators are reached across the source": {
			files: map[string]string{
				"apps/prod/kustomization.yaml": "resources: [../base]\ncomponents: [../../extra]\nconfigMapGenerator:\n" +
					"- name: gen\n  files: [settings.txt]\n  options: {disableNameSuffixHash: true}\n",
				"apps/prod/settings.txt":       "a=b",
				"apps/base/kustomization.yaml": "resources: [app.yaml]",
				"apps/base/app.yaml":           deployment,
				"extra/kustomization.yaml":     "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]",
				"extra/more.yaml":              configMap("more"),
			},
			spec: Spec{Path: "apps/prod", TargetNamespace: "prod", NamePrefix: "p-", NameSuffix: "-s"},
			want: []string{"Deployment/prod/p-app-s", "ConfigMap/prod/p-gen-s", "ConfigMap/prod/p-more-s"},
		},
		"a path that climbs out starts at the root": {
			files: map[string]string{"apps/a.yaml": configMap("a")},
			spec:  Spec{Path: "../../apps"},
			want:  []string{"ConfigMap//a"},
		},
		"links within the source are followed": {
			files: map[string]string{
				"apps/prod/kustomization.yaml": "resources: [base, ../linked.yaml]\nconfigMapGenerator:\n- name: gen\n" +
					"  files: [conf/settings.txt]\n  options: {disableNameSuffixHash: true}\n",
				"apps/prod/base":                "-> ../../bases/app",
				"apps/linked.yaml":              "-> ../bases/common/more.yaml",
				"apps/prod/conf":                "-> ../../bases/conf",
				"bases/conf/settings.txt":       "a=b",
				"bases/app/kustomization.yaml":  "resources: [../common]",
				"bases/common":                  "-> real",
				"bases/real/more.yaml":          configMap("more"),
				"bases/real/kustomization.yaml": "resources: [a.yaml]",
				"bases/real/a.yaml":             configMap("a"),
				"current":                       "-> apps/prod",
			},
			spec: Spec{Path: "./current"},
			want: []string{"ConfigMap//a", "ConfigMap//more", "ConfigMap//gen"},
		},
		"a link in a plain directory counts, unless what it leads to is there anyway": {
			files: map[string]string{
				"apps/a.yaml":     configMap("a"),
				"apps/again.yaml": "-> a.yaml",
				"apps/b.yaml":     "-> ../other/b.yaml",
				"apps/c.yaml":     "-> nowhere",
				"other/b.yaml":    configMap("b"),
			},
			spec: Spec{Path: "apps"},
			want: []string{"ConfigMap//b", "ConfigMap//a"},
		},
		"names that could be hosts or users are directories when they are there": {
			files: map[string]string{
				"kustomization.yaml":                      "resources: [app@v2/overlays/prod, github.com/org/repo, 'http:']\ncomponents: [extra@v1]\n",
				"app@v2/overlays/prod/kustomization.yaml": "resources: [a.yaml]", "app@v2/overlays/prod/a.yaml": configMap("a"),
				"github.com/org/repo/kustomization.yaml": "resources: [b.yaml]", "github.com/org/repo/b.yaml": configMap("b"),
				"http:/kustomization.yaml": "resources: [c.yaml]", "http:/c.yaml": configMap("c"),
				"extra@v1/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: ns",
			},
			want: []string{"ConfigMap/ns/a", "ConfigMap/ns/b", "ConfigMap/ns/c"},
		},
		"a path with such a name": {
			files: map[string]string{"app@v2/a.yaml": configMap("a")},
			spec:  Spec{Path: "./app@v2"},
			want:  []string{"ConfigMap//a"},
		},
		"a base that is empty stays empty": {
			files: map[string]string{
				"kustomization.yaml":      "resources: [base, a.yaml]",
				"base/kustomization.yaml": "resources: []",
				"a.yaml":                  configMap("a"),
			},
			want: []string{"ConfigMap//a"},
		},
		"a missing component can be ignored": {
			files: map[string]string{"apps/a.yaml": configMap("a")},
			spec:  Spec{Path: "apps", Components: []string{"../nowhere"}, IgnoreMissingComponents: true},
			want:  []string{"ConfigMap//a"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Build(treeOf(t, tc.files), tc.spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, subjects(got)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildLaysTheSpecOver(t *testing.T) {
	files := map[string]string{
		"kustomization.yaml": "resources: [app.yaml]\nimages:\n- name: ghcr.io/org/app\n  newTag: 1.1.0\n",
		"app.yaml":           deployment,
	}
	tests := map[string]struct {
		spec  Spec
		path  []string
		want  any
		image string
	}{
		"the kustomization's image stands": {image: "ghcr.io/org/app:1.1.0"},
		"the spec's tag replaces the kustomization's": {
			spec:  Spec{Images: []apikustomize.Image{{Name: "ghcr.io/org/app", NewTag: "2.0.0"}}},
			image: "ghcr.io/org/app:2.0.0",
		},
		"the spec's digest replaces the kustomization's tag": {
			spec:  Spec{Images: []apikustomize.Image{{Name: "ghcr.io/org/app", Digest: "sha256:abc"}}},
			image: "ghcr.io/org/app@sha256:abc",
		},
		"a new name keeps the tag": {
			spec:  Spec{Images: []apikustomize.Image{{Name: "ghcr.io/org/app", NewName: "mirror/app"}}},
			image: "mirror/app:1.1.0",
		},
		"a patch of the spec comes last": {
			spec: Spec{Patches: []apikustomize.Patch{{
				Patch:  `[{"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "patched"}]`,
				Target: &apikustomize.Selector{Kind: "Deployment"},
			}}},
			image: "ghcr.io/org/app:1.1.0",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Build(treeOf(t, files), tc.spec)
			if err != nil {
				t.Fatal(err)
			}
			containers, _, _ := unstructured.NestedSlice(got.Objects[0].Object, "spec", "template", "spec", "containers")
			container := containers[0].(map[string]any)
			if container["image"] != tc.image {
				t.Errorf("image = %v, want %s", container["image"], tc.image)
			}
			if patched := len(tc.spec.Patches) > 0; patched != (container["name"] == "patched") {
				t.Errorf("name = %v", container["name"])
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		spec  Spec
		want  error
		says  string
	}{
		"a path that is not there": {spec: Spec{Path: "apps"}, want: ErrPathNotFound, says: `"apps"`},
		"a path that is misspelt": {
			spec:  Spec{Path: "./apps/shopp"},
			files: map[string]string{"apps/shop/kustomization.yaml": ""},
			want:  ErrPathNotFound, says: "did you mean ./apps/shop? correct spec.path",
		},
		"a path that is a file": {
			spec:  Spec{Path: "kustomization.yaml"},
			files: map[string]string{"kustomization.yaml": ""},
			want:  ErrPathNotFound,
		},
		"a remote base": {
			files: map[string]string{"kustomization.yaml": "resources: ['github.com/org/repo//base?ref=main']"},
			want:  ErrRemote,
			says:  "github.com/org/repo",
		},
		"a remote base by SSH": {
			files: map[string]string{"kustomization.yaml": "resources: ['git@host.example:org/repo']"},
			want:  ErrRemote,
		},
		"a remote file": {
			files: map[string]string{"kustomization.yaml": "resources: [https://example.com/a.yaml]"},
			want:  ErrRemote,
		},
		"a remote generator file": {
			files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: ['k=http://example.com/a']}]"},
			want:  ErrRemote,
		},
		"a remote base below a base": {
			files: map[string]string{"kustomization.yaml": "resources: [base]", "base/kustomization.yml": "resources: ['ssh://git@host/org/repo']"},
			want:  ErrRemote,
			says:  "base/kustomization.yml",
		},
		"a remote component of the spec": {
			files: map[string]string{"a.yaml": configMap("a")},
			spec:  Spec{Components: []string{"https://example.com/c"}},
			want:  ErrRemote,
		},
		"a base outside of the source": {
			files: map[string]string{"apps/kustomization.yaml": "resources: [../../../etc]"},
			spec:  Spec{Path: "apps"},
			says:  "outside of the source",
		},
		"a file that is not there": {files: map[string]string{"kustomization.yaml": "resources: [a.yaml]"}, says: "a.yaml"},
		"an object without a kind": {files: map[string]string{"a.yaml": "apiVersion: v1\nmetadata: {name: a}"}, says: "kind"},
		"a Secret that is still sealed": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nsops: {mac: x}"},
			want:  ErrEncrypted,
			says:  "Secret/a",
		},
		"an invalid name of a variable": {
			files: map[string]string{"a.yaml": configMap("a")},
			spec:  Spec{Substitution: &Substitution{Values: map[string]string{"a-b": "c"}}},
			says:  `"a-b"`,
		},
		"a symbolic link out of the source": {
			files: map[string]string{
				"kustomization.yaml": "resources: [link.yaml]",
				"link.yaml":          "-> ../../etc/passwd",
			}, want: tree.ErrLeaves, says: "link.yaml -> ../../etc/passwd",
		},
		"a plain directory with a link to the machine": {
			files: map[string]string{"a.yaml": configMap("a"), "b.yaml": "-> /etc/passwd"},
			want:  tree.ErrLeaves,
			says:  "b.yaml -> /etc/passwd",
		},
		"a path behind a link out of the source": {
			files: map[string]string{"apps": "-> ../elsewhere"},
			spec:  Spec{Path: "apps/prod"},
			want:  tree.ErrLeaves,
			says:  "apps -> ../elsewhere",
		},
		"helm charts, which need plugins": {
			files: map[string]string{"kustomization.yaml": "helmCharts: [{name: a, repo: 'oci://example.com'}]"},
			says:  "helm",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Build(treeOf(t, tc.files), tc.spec)
			if err == nil {
				t.Fatal("built")
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error is %v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			if strings.Contains(err.Error(), mount) {
				t.Errorf("error %q shows the mount point", err)
			}
		})
	}
}

func TestAVariableThatIsANumberCanStayAString(t *testing.T) {
	source := treeOf(t, map[string]string{"a.yaml": configMap("a", `port: "${q}${port}${q}"`, `bare: "${port}"`)})
	got, err := Build(source, Spec{Substitution: &Substitution{Values: map[string]string{"port": "8080", "q": `"`}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"port": "8080", "bare": int64(8080)}, got.Objects[0].Object["data"]); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

func TestAVariableThatCannotBeReadIsNamedWithFileAndField(t *testing.T) {
	source := treeOf(t, map[string]string{"app/a.yaml": configMap("a", `good: "${x}"`, `bad: "${x"`)})
	_, err := Build(source, Spec{Substitution: &Substitution{Values: map[string]string{"x": "y"}}})
	if want := "ConfigMap/a in app/a.yaml: substituting variables of the field bad: missing closing brace; write $${"; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestSubstitution(t *testing.T) {
	files := map[string]string{
		"a.yaml": configMap("a", `text: "${greeting:=hello} ${name:-}"`, `count: "${count:=1}"`),
		"b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  annotations:\n" +
			"    kustomize.toolkit.fluxcd.io/substitute: disabled\ndata:\n  text: ${name}\n",
	}
	tests := map[string]struct {
		sub  *Substitution
		want string
	}{
		"none without postBuild":              {want: "${greeting:=hello} ${name:-}"},
		"none without values":                 {sub: &Substitution{}, want: "${greeting:=hello} ${name:-}"},
		"defaults without values when always": {sub: &Substitution{Always: true}, want: "hello"},
		"values and defaults":                 {sub: &Substitution{Values: map[string]string{"name": "wor\nld"}}, want: "hello world"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Build(treeOf(t, files), Spec{Substitution: tc.sub})
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{}
			for _, obj := range got.Objects {
				texts[obj.GetName()], _, _ = unstructured.NestedString(obj.Object, "data", "text")
			}
			if diff := cmp.Diff(map[string]string{"a": tc.want, "b": "${name}"}, texts); diff != "" {
				t.Errorf("texts (-want +got):\n%s", diff)
			}
		})
	}
}
