// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"fmt"
	"io/fs"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// filesOf makes a tree in memory one that finds content by hash.
func filesOf(t tree.Tree) (source.Files, error) {
	f := hashedTree{Tree: t, paths: map[string]string{}}
	err := tree.Walk(t, "", func(path string, e tree.Entry) error {
		f.paths[e.Hash] = path
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	return f, nil
}

// hashedTree is a tree with a path for each hash.
type hashedTree struct {
	tree.Tree
	paths map[string]string
}

// ReadBlob implements [source.Files].
func (f hashedTree) ReadBlob(hash string) ([]byte, error) {
	path, ok := f.paths[hash]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: hash, Err: fs.ErrNotExist}
	}
	return f.ReadFile(path)
}

// BlobSize implements [source.Files].
func (f hashedTree) BlobSize(hash string) (int64, error) {
	data, err := f.ReadBlob(hash)
	return int64(len(data)), err
}
