// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/sluice-cd/sluice/internal/tree"
)

func TestReads(t *testing.T) {
	base := map[string]string{
		"apps/prod/kustomization.yaml": "resources: [../base]\ncomponents: [../extra]\nconfigMapGenerator:\n" +
			"- name: gen\n  files: [settings.txt]\n",
		"apps/prod/settings.txt":       "a=b",
		"apps/prod/NOTES.md":           "notes",
		"apps/base/kustomization.yaml": "resources: [app.yaml]",
		"apps/base/app.yaml":           deployment,
		"apps/extra/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
			"resources: [more.yaml]",
		"apps/extra/more.yaml": configMap("more"),
		"plain/a.yaml":         configMap("a"),
		"plain/deep/b.yaml":    configMap("b"),
		"other/c.yaml":         configMap("c"),
	}
	tests := map[string]struct {
		path   string
		change map[string]string // "" removes
		want   string            // the path that answers differently
	}{
		"an unrelated path":                    {path: "apps/prod", change: map[string]string{"other/c.yaml": configMap("d")}},
		"a new unrelated path":                 {path: "apps/prod", change: map[string]string{"new/c.yaml": configMap("d")}},
		"a file in the directory nobody reads": {path: "apps/prod", change: map[string]string{"apps/prod/NOTES.md": "more"}},
		"the kustomization.yaml": {
			path:   "apps/prod",
			change: map[string]string{"apps/prod/kustomization.yaml": "resources: [../base]"},
			want:   "apps/prod/kustomization.yaml",
		},
		"a manifest of the base": {
			path:   "apps/prod",
			change: map[string]string{"apps/base/app.yaml": configMap("app")},
			want:   "apps/base/app.yaml",
		},
		"a manifest of the component": {
			path:   "apps/prod",
			change: map[string]string{"apps/extra/more.yaml": configMap("less")},
			want:   "apps/extra/more.yaml",
		},
		"a generator's file": {
			path:   "apps/prod",
			change: map[string]string{"apps/prod/settings.txt": "a=c"},
			want:   "apps/prod/settings.txt",
		},
		"a file where none was found": {
			path:   "apps/prod",
			change: map[string]string{"apps/base/kustomization.yml": "resources: []"},
			want:   "apps/base/kustomization.yml",
		},
		"the base becomes a file": {
			path:   "apps/prod",
			change: map[string]string{"apps/base/app.yaml": "", "apps/base/kustomization.yaml": "", "apps/base": configMap("x")},
			want:   "apps/base",
		},
		"a manifest in a plain directory": {path: "plain", change: map[string]string{"plain/a.yaml": configMap("z")}, want: "plain"},
		"a new manifest in a plain directory": {
			path:   "plain",
			change: map[string]string{"plain/deep/c.yaml": configMap("z")},
			want:   "plain",
		},
		"a kustomization.yaml in a plain one":      {path: "plain", change: map[string]string{"plain/kustomization.yaml": ""}, want: "plain"},
		"a removed manifest in a plain directory":  {path: "plain", change: map[string]string{"plain/deep/b.yaml": ""}, want: "plain"},
		"an unrelated path beside plain manifests": {path: "plain", change: map[string]string{"other/c.yaml": ""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			built, err := Build(treeOf(t, base), Spec{Path: tc.path})
			if err != nil {
				t.Fatal(err)
			}
			files := maps.Clone(base)
			for name, content := range tc.change {
				files[name] = content
				if _, was := base[name]; was && content == "" {
					delete(files, name)
				}
			}
			changed, same, err := built.Reads.AnsweredBy(treeOf(t, files))
			if err != nil {
				t.Fatal(err)
			}
			if changed != tc.want || same != (tc.want == "") {
				t.Errorf("AnsweredBy = %q, %v; want %q", changed, same, tc.want)
			}
		})
	}
}

func TestReadsSeeThroughLinks(t *testing.T) {
	files := map[string]string{
		"kustomization.yaml": "resources: [link.yaml]", "link.yaml": "-> a.yaml", "a.yaml": configMap("a"), "b.yaml": configMap("b"),
	}
	built, err := Build(treeOf(t, files), Spec{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ file, content string }{
		"what it leads to has changed": {"a.yaml", configMap("c")},
		"it leads elsewhere":           {"link.yaml", "-> b.yaml"},
		"it leads out of the source":   {"link.yaml", "-> ../b.yaml"},
	} {
		changed := maps.Clone(files)
		changed[tc.file] = tc.content
		if at, same, err := built.Reads.AnsweredBy(treeOf(t, changed)); err != nil || same || at != "link.yaml" {
			t.Errorf("%s: got %q, %v, %v", name, at, same, err)
		}
	}
}

const ownSchema = `{"definitions": {"v1.Thing": {"properties": {"spec": {"properties": {"items": {
  "type": "array", "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
  "items": {"type": "object"}}}}},
  "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Thing", "version": "v1"}]}}}`

// A build with a schema of its own merges lists by it; one without, run at the
// same time, must not see that schema.
func TestOwnSchemaStaysWithItsBuild(t *testing.T) {
	files := map[string]string{"schema.json": ownSchema}
	for dir, extra := range map[string]string{"own": "openapi: {path: ../schema.json}\n", "plain": ""} {
		files[dir+"/kustomization.yaml"] = extra + "resources: [thing.yaml]\npatches: [{path: patch.yaml}]\n"
		files[dir+"/thing.yaml"] = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {items: [{name: a}]}\n"
		files[dir+"/patch.yaml"] = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {items: [{name: b}]}\n"
	}
	// Kustomize opens a schema relative to the kustomization.
	source := treeOf(t, files)
	want := map[string]int{"own": 2, "plain": 1}
	var wg sync.WaitGroup
	for i := range 24 {
		dir := "plain"
		if i%6 == 0 {
			dir = "own"
		}
		wg.Go(func() {
			got, err := Build(source, Spec{Path: dir})
			if err != nil {
				t.Errorf("%s: %v", dir, err)
				return
			}
			spec := got.Objects[0].Object["spec"].(map[string]any)
			if n := len(spec["items"].([]any)); n != want[dir] {
				t.Errorf("%s: %d items, want %d", dir, n, want[dir])
			}
		})
	}
	wg.Wait()
}

func BenchmarkBuild(b *testing.B) {
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("apps/%d.yaml", i)] = configMap(fmt.Sprint("c", i))
	}
	source, err := tree.FromStrings(files)
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := Build(source, Spec{Path: "apps", TargetNamespace: "prod"}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkReads(b *testing.B) {
	source, err := tree.FromStrings(map[string]string{
		"apps/kustomization.yaml": "resources: [a.yaml]", "apps/a.yaml": configMap("a"),
	})
	if err != nil {
		b.Fatal(err)
	}
	built, err := Build(source, Spec{Path: "apps"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, same, _ := built.Reads.AnsweredBy(source); !same {
			b.Fatal("changed")
		}
	}
}
