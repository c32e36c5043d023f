// SPDX-License-Identifier: Apache-2.0

package git

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-cd/sluice/internal/git/pack"
	"github.com/sluice-cd/sluice/internal/tree"
)

// CommitTree is the files of one commit in a mirror. Directories are decoded
// once per process, whichever commit they are seen in.
type CommitTree struct {
	store  reader
	trees  *treeCache
	commit *object.Commit
}

var _ tree.Tree = (*CommitTree)(nil)

func newCommitTree(s reader, trees *treeCache, commit plumbing.Hash) (*CommitTree, error) {
	c, err := s.commit(commit)
	if err != nil {
		return nil, err
	}
	t := &CommitTree{store: s, trees: trees, commit: c}
	if err := t.measure(); err != nil {
		return nil, fmt.Errorf("reading the files of commit %s: %w", commit, err)
	}
	return t, nil
}

// maxCommit is the longest commit in bytes: its message, signature and parents are
// held several times over while it is decoded.
const maxCommit = 1 << 20

// commit reads a commit object.
func (s reader) commit(h plumbing.Hash) (*object.Commit, error) {
	size, err := s.size(h)
	if err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", h, err)
	}
	if size > maxCommit {
		return nil, fmt.Errorf("%w: commit %s has %d bytes, of which %d are allowed", pack.ErrTooLarge, h, size, maxCommit)
	}
	raw, err := s.read(h)
	if err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", h, err)
	}
	encoded := &plumbing.MemoryObject{}
	encoded.SetType(raw.Type)
	_, _ = encoded.Write(raw.Data) // into memory
	c := &object.Commit{}
	if err := c.Decode(encoded); err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", h, err)
	}
	return c, nil
}

// Commit is the id of the commit.
func (t *CommitTree) Commit() plumbing.Hash { return t.commit.Hash }

// Parents are the ids of the commits that it was made on; the mirror need not
// have them.
func (t *CommitTree) Parents() []plumbing.Hash { return slices.Clone(t.commit.ParentHashes) }

// Info is what the commit says.
func (t *CommitTree) Info() CommitInfo {
	return CommitInfo{Author: t.commit.Author, Committer: t.commit.Committer, Message: t.commit.Message}
}

// dir returns the entries of a tree object, which callers must not change.
func (t *CommitTree) dir(hash string) ([]tree.Entry, error) {
	if entries, ok := t.trees.get(hash); ok {
		return entries, nil
	}
	raw, err := t.store.read(plumbing.NewHash(hash))
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(raw.Data)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", hash, err)
	}
	t.trees.put(hash, entries)
	return entries, nil
}

// find returns what is at a path; false when nothing is.
func (t *CommitTree) find(name string) (tree.Entry, bool, error) {
	parts, err := tree.Split(name)
	at := tree.Entry{Name: ".", Mode: tree.Dir, Hash: t.commit.TreeHash.String()}
	for _, part := range parts {
		if at.Mode != tree.Dir {
			return tree.Entry{}, false, nil
		}
		entries, err := t.dir(at.Hash)
		if err != nil {
			return tree.Entry{}, false, err
		}
		i, ok := slices.BinarySearchFunc(entries, part, func(e tree.Entry, name string) int {
			return strings.Compare(e.Name, name)
		})
		if !ok {
			return tree.Entry{}, false, nil
		}
		at = entries[i]
	}
	return at, err == nil, err
}

// Hash implements [tree.Tree].
func (t *CommitTree) Hash(name string) (string, error) {
	e, _, err := t.find(name)
	return e.Hash, err
}

// Stat implements [tree.Tree].
func (t *CommitTree) Stat(name string) (tree.Entry, error) {
	e, ok, err := t.find(name)
	if err == nil && !ok {
		err = &fs.PathError{Op: "open", Path: path.Clean(name), Err: fs.ErrNotExist}
	}
	return e, err
}

// ReadDir implements [tree.Tree].
func (t *CommitTree) ReadDir(name string) ([]tree.Entry, error) {
	e, err := t.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case e.Mode != tree.Dir:
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: tree.ErrNotDir}
	}
	entries, err := t.dir(e.Hash)
	return slices.Clone(entries), err
}

// ReadFile implements [tree.Tree]. A submodule has no content.
func (t *CommitTree) ReadFile(name string) ([]byte, error) {
	e, err := t.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case e.Mode == tree.Dir || e.Mode == tree.Submodule:
		return nil, &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
	}
	return t.ReadBlob(e.Hash)
}

// ReadBlob returns the content of a file whose hash a directory named.
func (t *CommitTree) ReadBlob(hash string) ([]byte, error) {
	raw, err := t.store.read(plumbing.NewHash(hash))
	if err != nil {
		return nil, err
	}
	return raw.Data, nil
}

// BlobSize returns how long the content of such a file is.
func (t *CommitTree) BlobSize(hash string) (int64, error) {
	size, err := t.store.size(plumbing.NewHash(hash))
	if err != nil {
		return 0, err
	}
	return size, nil
}

// canonical maps the modes that old versions of Git wrote to those of today.
func canonical(mode tree.Mode) tree.Mode {
	switch {
	case mode == tree.Dir, mode == tree.Symlink, mode == tree.Submodule:
		return mode
	case mode&0o100 != 0:
		return tree.Executable
	}
	return tree.File
}
