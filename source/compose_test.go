// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// filesOf is a tree that finds content by hash, and nothing that it has not.
func filesOf(t testing.TB, files map[string]string) source.Files {
	t.Helper()
	made, err := source.FilesOf(treeOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func allOf(t *testing.T, of tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := tree.Walk(of, "", func(path string, e tree.Entry) error {
		data, err := of.ReadFile(path)
		all[path] = string(data)
		if hash := tree.BlobHash(data); hash != e.Hash {
			t.Errorf("%s has the hash %s instead of %s", path, e.Hash, hash)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPartsOfTreesMakeATree(t *testing.T) {
	base := filesOf(t, map[string]string{"a/x": "1", "a/b/y": "2", "c": "3"})
	other := filesOf(t, map[string]string{"p/q": "4", "r": "5"})
	for name, tc := range map[string]struct {
		parts []source.Part
		want  map[string]string
		err   error
	}{
		"one tree":                {[]source.Part{{Files: base}}, map[string]string{"a/x": "1", "a/b/y": "2", "c": "3"}, nil},
		"a directory of it":       {[]source.Part{{Files: base, From: "a"}}, map[string]string{"x": "1", "b/y": "2"}, nil},
		"a directory where it is": {[]source.Part{{MountPath: "a/b", Files: base, From: "/a/b/"}}, map[string]string{"a/b/y": "2"}, nil},
		"another tree in it": {
			[]source.Part{{Files: base}, {MountPath: "a/new/deep", Files: other}, {MountPath: "a/r", Files: other, From: "r"}},
			map[string]string{"a/x": "1", "a/b/y": "2", "c": "3", "a/new/deep/p/q": "4", "a/new/deep/r": "5", "a/r": "5"},
			nil,
		},
		"one on top of another": {
			[]source.Part{{Files: base}, {MountPath: "z", Files: other}, {MountPath: "z/p/z", Files: base, From: "a/b"}},
			map[string]string{"a/x": "1", "a/b/y": "2", "c": "3", "z/p/q": "4", "z/r": "5", "z/p/z/y": "2"},
			nil,
		},
		"where a file is":      {[]source.Part{{Files: base}, {MountPath: "c", Files: other}}, nil, fs.ErrExist},
		"where a directory is": {[]source.Part{{Files: base}, {MountPath: "a/b", Files: other}}, nil, fs.ErrExist},
		"where another one is": {[]source.Part{{MountPath: "z", Files: base}, {MountPath: "z", Files: other}}, nil, fs.ErrExist},
		"above another one":    {[]source.Part{{MountPath: "z/y", Files: base}, {MountPath: "z", Files: other}}, nil, fs.ErrExist},
		"below a file":         {[]source.Part{{Files: base}, {MountPath: "c/d", Files: other}}, nil, tree.ErrNotDir},
		"below a file of a part": {
			[]source.Part{{MountPath: "f", Files: base, From: "c"}, {MountPath: "f/d", Files: other}}, nil, tree.ErrNotDir,
		},
		"of what is not there":    {[]source.Part{{MountPath: "a", Files: base, From: "none"}}, nil, fs.ErrNotExist},
		"a file as the root":      {[]source.Part{{Files: base, From: "c"}}, nil, tree.ErrNotDir},
		"outside of the tree":     {[]source.Part{{MountPath: "../a", Files: base}}, nil, fs.ErrInvalid},
		"from outside of another": {[]source.Part{{MountPath: "a", Files: base, From: "../a"}}, nil, fs.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := source.Compose(tc.parts)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tc.want, allOf(t, got)); diff != "" {
				t.Error(diff)
			}
			// It is the tree that the same files make on their own, to the last hash.
			alone, err := tree.FromStrings(tc.want)
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range tc.want {
				for dir := name; ; dir = dir[:max(0, strings.LastIndexByte(dir, '/'))] {
					is, err := got.Hash(dir)
					want, _ := alone.Hash(dir)
					if err != nil || is != want {
						t.Errorf("the hash of %q is %q, want %q (%v)", dir, is, want, err)
					}
					if dir == "" {
						break
					}
				}
				e, err := got.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				data, err := got.ReadBlob(e.Hash)
				if size, sizeErr := got.BlobSize(e.Hash); err != nil || string(data) != content || sizeErr != nil || size != int64(len(content)) {
					t.Errorf("%s by its hash: %q, %v; %d bytes, %v", name, data, err, size, sizeErr)
				}
			}
			if _, err := got.Stat("none/at/all"); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, tree.ErrNotDir) {
				t.Errorf("what is not there: %v", err)
			}
			if _, err := got.ReadFile(""); !errors.Is(err, tree.ErrIsDir) {
				t.Errorf("the root as a file: %v", err)
			}
			if _, err := got.ReadBlob(strings.Repeat("0", 40)); err == nil {
				t.Error("content that is not there was found")
			}
		})
	}
}
