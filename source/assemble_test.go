// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// TestAnAssembledTreeIsLikeAnyOther: it has the hashes of a tree that has the files itself.
func TestAnAssembledTreeIsLikeAnyOther(t *testing.T) {
	files := map[string]string{"a": "1", "dir.d": "2", "dir/b": "1", "dir/deep/er/c": "3", "x/y": "4"}
	want, err := tree.FromStrings(files)
	if err != nil {
		t.Fatal(err)
	}
	blobs, entries := source.BlobMap{}, map[string]tree.Entry{}
	for name, content := range files {
		hash := tree.BlobHash([]byte(content))
		blobs[hash], entries[name] = []byte(content), tree.Entry{Mode: tree.File, Hash: hash}
	}
	got := source.Assemble(entries, source.BlobMap{}, blobs)
	for _, name := range []string{"", ".", "a", "dir", "dir/deep", "dir/deep/er/c", "none", "a/b", "dir/none"} {
		wantHash, _ := want.Hash(name)
		if hash, _ := got.Hash(name); hash != wantHash {
			t.Errorf("%q has hash %s, want %s", name, hash, wantHash)
		}
		wantEntries, wantErr := want.ReadDir(name)
		dir, err := got.ReadDir(name)
		if diff := cmp.Diff(wantEntries, dir); diff != "" || (err == nil) != (wantErr == nil) {
			t.Errorf("%q: %s, %v", name, diff, err)
		}
		wantData, wantErr := want.ReadFile(name)
		data, err := got.ReadFile(name)
		if string(data) != string(wantData) || (err == nil) != (wantErr == nil) {
			t.Errorf("%q: %q, %v", name, data, err)
		}
	}
	if _, err := got.Stat("../a"); err == nil {
		t.Error("it leads out of itself")
	}
	if empty := source.Assemble(nil); empty == nil {
		t.Error("nothing is no tree")
	} else if _, err := empty.ReadBlob("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
