// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"fmt"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func BenchmarkArtifactOf10001Files(b *testing.B) {
	repo := gitserver.New(b).Repo("app")
	files := gitserver.Files{"kustomization.yaml": "kind: Kustomization\n"}
	for i := range 10_000 {
		files[fmt.Sprintf("apps/team-%02d/app-%04d.yaml", i/100, i)] = fmt.Sprintf(
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-%d\ndata:\n  image: registry.example.com/app:%d\n", i, i)
	}
	repo.Commit("main", files)
	m, err := git.NewMirrors(b.TempDir(), clock.RealClock{}).Get(b.Context(), git.Remote{URL: repo.URL})
	if err != nil {
		b.Fatal(err)
	}
	pull := func() (plumbing.Hash, *git.CommitTree) {
		head, err := m.Resolve(b.Context(), "main")
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Fetch(b.Context(), "main", head); err != nil {
			b.Fatal(err)
		}
		t, err := m.Tree(head)
		if err != nil {
			b.Fatal(err)
		}
		return head, t
	}
	publish := func(store *source.Store, head plumbing.Hash, t *git.CommitTree) {
		v, err := source.NewView(b.Context(), t, nil, store.Latest(key), nil)
		if err != nil {
			b.Fatal(err)
		}
		a, err := store.Put(b.Context(), key, source.Content{Name: head.String(), Revision: "main@sha1:" + head.String(), View: v})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(*a.Size), "bytes")
	}
	b.Run("from nothing", func(b *testing.B) {
		for b.Loop() {
			head, t := pull()
			publish(source.NewStore(b.TempDir(), "localhost", clock.RealClock{}), head, t)
		}
	})
	b.Run("one file changed", func(b *testing.B) {
		store := source.NewStore(b.TempDir(), "localhost", clock.RealClock{})
		head, t := pull()
		publish(store, head, t)
		n := 0
		for b.Loop() {
			b.StopTimer()
			repo.Commit("main", gitserver.Files{"apps/team-50/app-5000.yaml": fmt.Sprintf("n: %d\n", n)})
			n++
			head, t := pull()
			b.StartTimer()
			publish(store, head, t)
		}
	})
}
