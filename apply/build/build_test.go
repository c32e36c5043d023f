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

func treeOf(t *testing.T, files map[string]string) tree.Tree {
	t.Helper()
	made, err := tree.FromStrings(files)
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
			files: map[string]string{"apps/a.yaml": configMap("a"), "apps/deep/b.yml": configMap("b"), "apps/README.md": "no", "other.yaml": configMap("c")},
			spec:  Spec{Path: "./apps"},
			want:  []string{"ConfigMap//a", "ConfigMap//b"},
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
				"apps/prod/kustomization.yaml": "resources: [../base]\ncomponents: [../../extra]\nconfigMapGenerator:\n- name: gen\n  files: [settings.txt]\n  options: {disableNameSuffixHash: true}\n",
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
		"a path that is not there":        {spec: Spec{Path: "apps"}, want: ErrPathNotFound, says: `"apps"`},
		"a path that is a file":           {spec: Spec{Path: "kustomization.yaml"}, files: map[string]string{"kustomization.yaml": ""}, want: ErrPathNotFound},
		"a remote base":                   {files: map[string]string{"kustomization.yaml": "resources: ['github.com/org/repo//base?ref=main']"}, want: ErrRemote, says: "github.com/org/repo"},
		"a remote base by SSH":            {files: map[string]string{"kustomization.yaml": "resources: ['git@host.example:org/repo']"}, want: ErrRemote},
		"a remote file":                   {files: map[string]string{"kustomization.yaml": "resources: [https://example.com/a.yaml]"}, want: ErrRemote},
		"a remote generator file":         {files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: ['k=http://example.com/a']}]"}, want: ErrRemote},
		"a remote base below a base":      {files: map[string]string{"kustomization.yaml": "resources: [base]", "base/kustomization.yml": "resources: ['ssh://git@host/org/repo']"}, want: ErrRemote, says: "base/kustomization.yml"},
		"a remote component of the spec":  {files: map[string]string{"a.yaml": configMap("a")}, spec: Spec{Components: []string{"https://example.com/c"}}, want: ErrRemote},
		"a base outside of the source":    {files: map[string]string{"apps/kustomization.yaml": "resources: [../../../etc]"}, spec: Spec{Path: "apps"}, says: "outside of the source"},
		"a file that is not there":        {files: map[string]string{"kustomization.yaml": "resources: [a.yaml]"}, says: "a.yaml"},
		"an object without a kind":        {files: map[string]string{"a.yaml": "apiVersion: v1\nmetadata: {name: a}"}, says: "kind"},
		"a Secret that is still sealed":   {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nsops: {mac: x}"}, want: ErrEncrypted, says: "Secret/a"},
		"an invalid name of a variable":   {files: map[string]string{"a.yaml": configMap("a")}, spec: Spec{Substitution: &Substitution{Values: map[string]string{"a-b": "c"}}}, says: `"a-b"`},
		"helm charts, which need plugins": {files: map[string]string{"kustomization.yaml": "helmCharts: [{name: a, repo: 'oci://example.com'}]"}, says: "helm"},
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

func TestSubstitution(t *testing.T) {
	files := map[string]string{
		"a.yaml": configMap("a", `text: "${greeting:=hello} ${name}"`, `count: "${count}"`),
		"b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  annotations:\n    kustomize.toolkit.fluxcd.io/substitute: disabled\ndata:\n  text: ${name}\n",
	}
	tests := map[string]struct {
		sub  *Substitution
		want string
	}{
		"none without postBuild":              {want: "${greeting:=hello} ${name}"},
		"none without values":                 {sub: &Substitution{}, want: "${greeting:=hello} ${name}"},
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

func TestSubstitutionHidesSecrets(t *testing.T) {
	files := map[string]string{"a.yaml": configMap("a", "text: ${password}")}
	secret := "hunter2: [" // breaks the YAML it is put into
	_, err := Build(treeOf(t, files), Spec{Substitution: &Substitution{
		Values: map[string]string{"password": secret}, Secret: []string{secret},
	}})
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows a secret: %v", err)
	}
}
