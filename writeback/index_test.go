// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
)

// restrictedTree is a tree that may be read in a few places only.
type restrictedTree struct {
	tree.Tree
	allowed []string
}

var errForbidden = errors.New("read what did not change")

func (g restrictedTree) ReadDir(name string) ([]tree.Entry, error) {
	if !slices.Contains(g.allowed, path.Clean(name)) {
		return nil, errForbidden
	}
	return g.Tree.ReadDir(name)
}

func (g restrictedTree) ReadFile(name string) ([]byte, error) {
	if !slices.Contains(g.allowed, path.Clean(name)) {
		return nil, errForbidden
	}
	return g.Tree.ReadFile(name)
}

func TestIndexReadsOnlyWhatChanged(t *testing.T) {
	const marker = " # {\"$imagepolicy\": \"apps:app\"}\n"
	files := func(changed string) tree.Tree {
		files, err := tree.FromStrings(map[string]string{
			"apps/a/deploy.yaml": "image: app:" + changed + marker,
			"apps/a/other.yaml":  "a: b\n",
			"apps/b/deploy.yaml": "image: app:1" + marker,
			"infra/x/big.yaml":   "a: b\n",
			"README.md":          "image: app:1" + marker,
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	want := []string{"apps/a/deploy.yaml", "apps/b/deploy.yaml"}
	index := NewIndex(nil)
	tests := []struct { // in this order: each builds on what the index has seen
		name string
		tree tree.Tree
		root string
	}{
		{"everything is read once", files("1"), ""},
		{"an unchanged tree is not read at all", restrictedTree{files("1"), nil}, "."},
		{"nor is a part of it", restrictedTree{files("1"), nil}, "apps"},
		{"a changed file is read, and the directories above it",
			restrictedTree{files("2"), []string{".", "apps", "apps/a", "apps/a/deploy.yaml"}}, ""},
		{"going back reads nothing", restrictedTree{files("1"), nil}, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			marked, err := index.Marked(t.Context(), tc.tree, tc.root, "apps")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range marked {
				got = append(got, f.Path)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("marked files (-want +got):\n%s", diff)
			}
		})
	}
}
