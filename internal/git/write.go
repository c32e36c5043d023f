// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-cd/sluice/internal/git/pack"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Write makes a commit on base with the given files changed: path to content,
// nil to delete. Files keep their mode, new ones are plain; a path that is a
// directory, a submodule or a symlink, or runs through one that is no directory,
// is an error. When nothing differs from base, base itself is returned.
//
// The commit exists in the mirror only, until Push. A commit that is not pushed
// does not outlive the process.
func (m *Mirror) Write(ctx context.Context, base plumbing.Hash, changes map[string][]byte, commit CommitInfo) (plumbing.Hash, error) {
	release, err := m.acquire(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer release()
	defer m.account()
	s := m.storeOf(base)
	if s == nil {
		return plumbing.ZeroHash, fmt.Errorf("%w: commit %s of %s", ErrMissing, base, m.remote)
	}
	from, err := newCommitTree(m.reader(s), m.trees, base)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	w := &writer{from: from}
	root, err := w.root(from.commit.TreeHash.String(), changes)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing commit: %w", err)
	}
	if root == from.commit.TreeHash.String() {
		return base, nil
	}
	return w.keep(s, base, root, commit)
}

// WriteFirst makes a commit without parents that has these files alone: the first of a
// branch that shares nothing with others.
func (m *Mirror) WriteFirst(ctx context.Context, files map[string][]byte, commit CommitInfo) (plumbing.Hash, error) {
	release, err := m.acquire(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer release()
	defer m.account()
	s := m.current()
	if s == nil {
		return plumbing.ZeroHash, fmt.Errorf("%w: %s was never fetched", ErrMissing, m.remote)
	}
	w := &writer{}
	root, err := w.root("", files)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing commit: %w", err)
	}
	return w.keep(s, plumbing.ZeroHash, root, commit)
}

// keep keeps a commit in the mirror.
func (w *writer) keep(s *store, base plumbing.Hash, root string, commit CommitInfo) (plumbing.Hash, error) {
	made, err := w.commit(base, root, commit)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing commit: %w", err)
	}
	p, err := pack.Write(filepath.Join(s.dir, packDir), w.objects)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	s.addUnpushed(made, localCommit{base: base, pack: p})
	return made, nil
}

// writer collects the objects that a commit needs besides those of its base.
type writer struct {
	from    *CommitTree
	objects []pack.Object
}

// directoryChange is what happens below one directory: files by name, and directories.
type directoryChange struct {
	files map[string][]byte
	dirs  map[string]*directoryChange
}

func newDirectoryChange() *directoryChange {
	return &directoryChange{files: map[string][]byte{}, dirs: map[string]*directoryChange{}}
}

// root applies changes by path to a root directory, "" if there was none, and returns the
// hash of the new one.
func (w *writer) root(old string, changes map[string][]byte) (string, error) {
	top := newDirectoryChange()
	for name, data := range changes {
		parts, err := tree.Split(name)
		if err != nil {
			return "", err
		}
		if len(parts) == 0 || slices.ContainsFunc(parts, reserved) {
			return "", fmt.Errorf("%q cannot be the path of a file", name)
		}
		at := top
		for _, dir := range parts[:len(parts)-1] {
			if at.dirs[dir] == nil {
				at.dirs[dir] = newDirectoryChange()
			}
			at = at.dirs[dir]
		}
		at.files[parts[len(parts)-1]] = data
	}
	hash, err := w.dir(old, top)
	if err == nil && hash == "" {
		return w.tree("", nil) // no file is left
	}
	return hash, err
}

// reserved reports names that Git refuses to check out, or cannot store.
func reserved(name string) bool {
	return strings.EqualFold(name, ".git") || strings.Contains(name, "\x00")
}

// dir applies a change to a directory and returns the new hash; "" when nothing
// is left of it. A directory that was not there has the hash "".
func (w *writer) dir(hash string, c *directoryChange) (string, error) {
	entries := map[string]tree.Entry{}
	if hash != "" {
		known, err := w.from.dir(hash)
		if err != nil {
			return "", err
		}
		for _, e := range known {
			entries[e.Name] = e
		}
	}
	for name, below := range c.dirs {
		if err := w.subdir(entries, name, below); err != nil {
			return "", err
		}
	}
	for name, data := range c.files {
		if err := w.file(entries, name, data); err != nil {
			return "", err
		}
	}
	if len(entries) == 0 {
		return "", nil
	}
	return w.tree(hash, slices.Collect(maps.Values(entries)))
}

func (w *writer) subdir(entries map[string]tree.Entry, name string, below *directoryChange) error {
	old, exists := entries[name]
	if exists && old.Mode != tree.Dir {
		return fmt.Errorf("%q: %w", name, tree.ErrNotDir)
	}
	hash, err := w.dir(old.Hash, below)
	switch {
	case err != nil:
		return fmt.Errorf("in %q: %w", name, err)
	case hash == "":
		delete(entries, name)
	default:
		entries[name] = tree.Entry{Name: name, Mode: tree.Dir, Hash: hash}
	}
	return nil
}

func (w *writer) file(entries map[string]tree.Entry, name string, data []byte) error {
	old, exists := entries[name]
	if exists && !old.Mode.IsFile() {
		return fmt.Errorf("%q is not a regular file", name)
	}
	if data == nil {
		delete(entries, name)
		return nil
	}
	hash := tree.BlobHash(data)
	if exists && hash == old.Hash {
		return nil
	}
	if !exists {
		old.Mode = tree.File
	}
	entries[name] = tree.Entry{Name: name, Mode: old.Mode, Hash: hash}
	w.objects = append(w.objects, pack.Object{Type: plumbing.BlobObject, Data: data})
	return nil
}

// tree adds a directory, unless it is as it was.
func (w *writer) tree(old string, entries []tree.Entry) (string, error) {
	o := pack.Object{Type: plumbing.TreeObject, Data: tree.EncodeDir(entries)}
	hash := o.Hash().String()
	if hash != old {
		w.objects = append(w.objects, o)
	}
	return hash, nil
}

// commit adds the commit object itself; one with the zero base has no parents.
func (w *writer) commit(base plumbing.Hash, root string, info CommitInfo) (plumbing.Hash, error) {
	c := &object.Commit{Author: info.Author, Committer: info.Committer, Message: info.Message, TreeHash: plumbing.NewHash(root)}
	if !base.IsZero() {
		c.ParentHashes = []plumbing.Hash{base}
	}
	data, err := encodeCommit(c)
	if err == nil && info.Signer != nil {
		var signature []byte
		if signature, err = info.Signer.Sign(bytes.NewReader(data)); err == nil {
			c.PGPSignature = string(signature) // the header is the same for all kinds
			data, err = encodeCommit(c)
		}
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	o := pack.Object{Type: plumbing.CommitObject, Data: data}
	w.objects = append(w.objects, o)
	return o.Hash(), nil
}

func encodeCommit(c *object.Commit) ([]byte, error) {
	encoded := &plumbing.MemoryObject{}
	if err := c.Encode(encoded); err != nil {
		return nil, err
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
