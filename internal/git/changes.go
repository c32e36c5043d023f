// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/tree"
)

// ChangeLimits bound what [Mirror.Changes] names and reads.
type ChangeLimits struct {
	// Paths is how many are named, and Files of how many of them the texts are read.
	Paths, Files int
	// File and Total bound the texts in bytes: each of them, and all together.
	File, Total int64
}

// Why the texts of a [Change] are left out.
const (
	OmittedBinary    = "it is no text in UTF-8"
	OmittedTooLarge  = "it is too large"
	OmittedTooMany   = "too much else changed"
	OmittedSubmodule = "it is a submodule"
	OmittedMode      = "its mode alone changed"
)

// Change is a path at which a commit differs from the one before it.
type Change struct {
	Path string
	// Existed and Exists tell whether the path is there before the commit, and in it.
	Existed, Exists bool
	// Old and New are the texts before the commit and in it, of a symbolic link where it leads.
	// Both are nil where Omitted says why.
	Old, New []byte
	Omitted  string
}

// Changes are what a commit changed.
type Changes struct {
	Commit plumbing.Hash
	// Parent is the first one, which it is compared with; zero if it has none.
	Parent plumbing.Hash
	Info   CommitInfo
	Files  []Change
	// More means that further paths changed, which are beyond the limits.
	More bool
}

// Changes compares a commit with its first parent, or with nothing if it has none. The remote is not asked: ErrMissing means
// that the mirror lacks either of them.
func (m *Mirror) Changes(commit plumbing.Hash, limits ChangeLimits) (*Changes, error) {
	after, err := m.Tree(commit)
	if err != nil {
		return nil, err
	}
	c := &commitDiff{after: after, limits: limits, Changes: Changes{Commit: commit, Info: after.Info()}}
	if parents := after.Parents(); len(parents) > 0 {
		c.Parent = parents[0]
		if c.before, err = m.Tree(c.Parent); err != nil {
			return nil, err
		}
	}
	if err := c.compare(); err != nil {
		return nil, fmt.Errorf("comparing commit %s of %s with the one before it: %w", commit, m.remote, err)
	}
	return &c.Changes, nil
}

// commitDiff makes [Changes].
type commitDiff struct {
	Changes
	before, after *CommitTree // before is nil where there is none
	limits        ChangeLimits
	texts         int
	bytes         int64
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

func (c *commitDiff) compare() error {
	var before tree.Tree = c.before
	if c.before == nil {
		nothing, err := tree.New(nil)
		if err != nil {
			return err
		}
		before = nothing
	}
	paths, all, err := tree.Changed(before, c.after, c.limits.Paths)
	if err != nil {
		return err
	}
	c.More = !all
	for _, name := range paths {
		err := c.add(name)
		if errors.Is(err, errEnough) {
			c.More = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add notes what became of a path. A directory that came or went is what was below it.
func (c *commitDiff) add(name string) error {
	old, err := entryOf(c.before, name)
	if err != nil {
		return err
	}
	now, err := entryOf(c.after, name)
	if err != nil {
		return err
	}
	if old != nil && old.Mode == tree.Dir {
		old = nil
		if err := tree.Walk(c.before, name, func(below string, e tree.Entry) error { return c.file(below, &e, nil) }); err != nil {
			return err
		}
	}
	if now != nil && now.Mode == tree.Dir {
		now = nil
		if err := tree.Walk(c.after, name, func(below string, e tree.Entry) error { return c.file(below, nil, &e) }); err != nil {
			return err
		}
	}
	if old == nil && now == nil {
		return nil
	}
	return c.file(name, old, now)
}

// entryOf is what is at a path; nil if nothing is.
func entryOf(t *CommitTree, name string) (*tree.Entry, error) {
	if t == nil {
		return nil, nil
	}
	e, ok, err := t.find(name)
	if err != nil || !ok {
		return nil, err
	}
	return &e, nil
}

// file notes what became of a file; nil is one that is not there.
func (c *commitDiff) file(name string, old, now *tree.Entry) error {
	if len(c.Files) >= c.limits.Paths {
		return errEnough
	}
	change := Change{Path: name, Existed: old != nil, Exists: now != nil}
	var err error
	if change.Omitted, err = c.why(old, now); err != nil {
		return err
	}
	if change.Omitted == "" {
		if change.Old, err = blobOf(c.before, old); err != nil {
			return err
		}
		if change.New, err = blobOf(c.after, now); err != nil {
			return err
		}
		if !isText(change.Old) || !isText(change.New) {
			change.Old, change.New, change.Omitted = nil, nil, OmittedBinary
		}
	}
	c.Files = append(c.Files, change)
	return nil
}

// why says why the texts of a file are not read, and else counts them.
func (c *commitDiff) why(old, now *tree.Entry) (string, error) {
	if old != nil && now != nil && old.Hash == now.Hash {
		return OmittedMode, nil
	}
	var size int64
	for _, side := range []struct {
		of    *CommitTree
		entry *tree.Entry
	}{{c.before, old}, {c.after, now}} {
		if side.entry == nil {
			continue
		}
		if side.entry.Mode == tree.Submodule {
			return OmittedSubmodule, nil
		}
		length, err := side.of.BlobSize(side.entry.Hash)
		if err != nil {
			return "", err
		}
		if length > c.limits.File {
			return OmittedTooLarge, nil
		}
		size += length
	}
	if c.texts >= c.limits.Files || c.bytes+size > c.limits.Total {
		return OmittedTooMany, nil
	}
	c.texts++
	c.bytes += size
	return "", nil
}

// blobOf reads a file; nil is one that is not there.
func blobOf(t *CommitTree, e *tree.Entry) ([]byte, error) {
	if e == nil {
		return nil, nil
	}
	return t.ReadBlob(e.Hash)
}

// isText reports whether people can read what a file holds.
func isText(content []byte) bool {
	return bytes.IndexByte(content, 0) < 0 && utf8.Valid(content)
}
