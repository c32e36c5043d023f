// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"fmt"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// large is a repository of 10,001 small manifests.
func large() files {
	all := files{"kustomization.yaml": "kind: Kustomization\n"}
	for i := range 10_000 {
		all[fmt.Sprintf("apps/team-%02d/app-%04d.yaml", i/100, i)] = fmt.Sprintf(
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-%d\ndata:\n  image: registry.example.com/app:%d\n", i, i)
	}
	return all
}

func BenchmarkLargeRepository(b *testing.B) {
	repo := gitserver.New(b).Repo("app")
	repo.Commit("main", large())
	m := open(b, b.TempDir(), git.Remote{URL: repo.URL})
	pull(b, m, "main")
	b.Run("first fetch", func(b *testing.B) {
		for b.Loop() {
			pull(b, open(b, b.TempDir(), git.Remote{URL: repo.URL}), "main")
		}
	})
	b.Run("fetch of one changed file", func(b *testing.B) {
		n := 0
		for b.Loop() {
			b.StopTimer()
			repo.Commit("main", gitserver.Files{"apps/team-50/app-5000.yaml": fmt.Sprintf("n: %d\n", n)})
			n++
			b.StartTimer()
			pull(b, m, "main")
		}
	})
	b.Run("write of one file", func(b *testing.B) {
		base := pull(b, m, "main").Commit()
		n := 0
		for b.Loop() {
			n++
			changes := map[string][]byte{"apps/team-50/app-5000.yaml": fmt.Appendf(nil, "w: %d\n", n)}
			if _, err := m.Write(b.Context(), base, changes, info("x")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write and push of one file", func(b *testing.B) {
		n := 0
		base := pull(b, m, "main").Commit()
		for b.Loop() {
			n++
			made, err := m.Write(b.Context(), base, map[string][]byte{"apps/team-50/app-5000.yaml": fmt.Appendf(nil, "p: %d\n", n)}, info("x"))
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Push(b.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
				b.Fatal(err)
			}
			base = made
		}
	})
	b.Run("write and push of all files", func(b *testing.B) {
		n := 0
		base := pull(b, m, "main").Commit()
		for b.Loop() {
			n++
			changes := map[string][]byte{}
			for path := range large() {
				changes[path] = fmt.Appendf(nil, "all: %d\npath: %s\n", n, path)
			}
			made, err := m.Write(b.Context(), base, changes, info("x"))
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Push(b.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
				b.Fatal(err)
			}
			base = made
		}
	})
	b.Run("walk", func(b *testing.B) {
		t := pull(b, m, "main")
		for b.Loop() {
			contents(b, t)
		}
	})
}
