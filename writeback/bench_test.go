// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"fmt"
	"testing"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// BenchmarkRun commits a release to a repository of 10,001 YAML files, from the
// choice to the finished push through a real Git server.
func BenchmarkRun(b *testing.B) {
	for _, changed := range []int{1, 100} {
		b.Run(fmt.Sprintf("files=10001/changed=%d", changed), func(b *testing.B) {
			repo := gitserver.New(b).Repo("app")
			files := gitserver.Files{}
			for i := range 10_001 {
				content := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c%d\n", i)
				if i < changed {
					content += "image: app:0 # {\"$imagepolicy\": \"apps:app\"}\n"
				}
				files[fmt.Sprintf("apps/%d/%d.yaml", i%100, i)] = content
			}
			repo.Commit("main", files)
			w := writeback.NewWriter(git.NewMirrors(b.TempDir(), clock.RealClock{}), clock.RealClock{})
			run(b, w, request(repo, "0"), 0) // fetches and reads everything once
			tag := 0
			for b.Loop() {
				tag++
				run(b, w, request(repo, fmt.Sprint(tag)), changed)
			}
		})
	}
}

func run(b *testing.B, w *writeback.Writer, req writeback.Request, wantFiles int) {
	b.Helper()
	result, err := w.Run(b.Context(), req)
	if err != nil || len(result.Changed.Files()) != wantFiles {
		b.Fatalf("changed %d files, want %d; error %v", len(result.Changed.Files()), wantFiles, err)
	}
}

// BenchmarkApply sets one image in a file of usual size.
func BenchmarkApply(b *testing.B) {
	content := []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\nspec:\n  template:\n    spec:\n      containers:\n" +
		"      - name: app\n        image: app:0 # {\"$imagepolicy\": \"apps:app\"}\n        env:\n        - {name: A, value: b}\n")
	images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{"app": {Name: "app", Tag: "1"}}}
	for b.Loop() {
		if _, _, err := edit.Apply(content, images); err != nil {
			b.Fatal(err)
		}
	}
}
