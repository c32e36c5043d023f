// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// WithSubmodules is a tree with other trees in place of the submodules at the given paths, those within
// others among them. The hash of a directory is that without them: it names their commits.
func WithSubmodules(t Tree, at map[string]Tree) Tree {
	dirs := make(map[string]Tree, len(at))
	for name, of := range at {
		dirs[path.Clean(name)] = of
	}
	return &composite{t, dirs}
}

// composite is a tree with others in it.
type composite struct {
	Tree
	within map[string]Tree
}

// of returns the tree that has a path, and the path in it.
func (c *composite) of(name string) (t Tree, inside string, err error) {
	parts, err := Split(name)
	if err != nil {
		return nil, "", err
	}
	for i := len(parts); i > 0; i-- {
		if t, ok := c.within[path.Join(parts[:i]...)]; ok {
			return t, path.Join(parts[i:]...), nil
		}
	}
	return c.Tree, name, nil
}

// Hash implements Tree.
func (c *composite) Hash(name string) (string, error) {
	t, inside, err := c.of(name)
	if err != nil {
		return "", err
	}
	return t.Hash(inside)
}

// ReadDir implements Tree.
func (c *composite) ReadDir(name string) ([]Entry, error) {
	t, inside, err := c.of(name)
	if err != nil {
		return nil, err
	}
	entries, err := t.ReadDir(inside)
	if err != nil || !slices.ContainsFunc(entries, func(e Entry) bool { return e.Mode == Submodule }) {
		return entries, err
	}
	entries = slices.Clone(entries)
	for i, e := range entries {
		if _, ok := c.within[strings.TrimPrefix(path.Join("/", name, e.Name), "/")]; ok {
			entries[i].Mode = Dir
		}
	}
	return entries, nil
}

// ReadFile implements Tree.
func (c *composite) ReadFile(name string) ([]byte, error) {
	t, inside, err := c.of(name)
	switch {
	case err != nil:
		return nil, err
	case inside == "" && t != c.Tree:
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrIsDir}
	}
	return t.ReadFile(inside)
}

// Stat implements Tree.
func (c *composite) Stat(name string) (Entry, error) {
	t, inside, err := c.of(name)
	if err != nil {
		return Entry{}, err
	}
	e, err := t.Stat(inside)
	if err == nil && inside == "" && t != c.Tree {
		e.Name = path.Base(path.Clean(name))
	}
	return e, err
}
