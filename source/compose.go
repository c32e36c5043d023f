// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Part is a directory or a file of one tree that shows in another.
type Part struct {
	// MountPath is where it shows; "" is the root.
	MountPath string
	// Files has it, at From; "" is all of them.
	Files Files
	From  string
}

// Compose makes one tree of parts of others, each of which goes on top of those before
// it. A part comes where nothing is yet, or a submodule: the error is [fs.ErrExist]
// otherwise, and [fs.ErrNotExist] if the part is of nothing. No part is read beyond the
// directories on the way to others.
//
//	/            a commit
//	/lib         a submodule, which is a commit of another repository
//	/shared/x    a directory of the artifact of another source
func Compose(parts []Part) (Files, error) {
	c := &composedTree{root: &pathNode{}}
	for _, part := range parts {
		if err := c.add(part); err != nil {
			return nil, err
		}
	}
	if err := c.root.seal("."); err != nil {
		return nil, err
	}
	return c, nil
}

// composedTree is a tree of parts of others.
type composedTree struct {
	root  *pathNode
	files []Files // each once
}

// pathNode is a path on which something was put, or leads to one.
type pathNode struct {
	files    Files // what it shows, at from, beside its children; nil is nothing
	from     string
	children map[string]*pathNode
	// entry is what is here, and entries what is in it if there are children.
	entry   tree.Entry
	entries []tree.Entry
}

func (c *composedTree) add(part Part) error {
	at, err := tree.Split(part.MountPath)
	if err != nil {
		return err
	}
	from, err := tree.Split(part.From)
	if err != nil {
		return err
	}
	found, err := part.Files.Stat(path.Join(from...))
	if err != nil {
		return err
	}
	if len(at) == 0 && found.Mode != tree.Dir {
		return &fs.PathError{Op: "compose", Path: part.MountPath, Err: tree.ErrNotDir}
	}
	p := c.root
	for i, name := range at {
		below := p.dir
		if i == len(at)-1 {
			below = p.emptyChild
		}
		if p, err = below(name); err != nil {
			return &fs.PathError{Op: "compose", Path: path.Join(at[:i+1]...), Err: err}
		}
	}
	if p.files != nil || len(p.children) > 0 {
		return &fs.PathError{Op: "compose", Path: part.MountPath, Err: fs.ErrExist}
	}
	p.files, p.from = part.Files, path.Join(from...)
	if !slices.Contains(c.files, part.Files) {
		c.files = append(c.files, part.Files)
	}
	return nil
}

// dir returns the directory of that name below p. One that is made shows what p has there.
func (p *pathNode) dir(name string) (*pathNode, error) {
	if known := p.children[name]; known != nil {
		return known, nil
	}
	made := &pathNode{}
	if p.files != nil {
		from := path.Join(p.from, name)
		switch there, err := p.files.Stat(from); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case there.Mode != tree.Dir:
			return nil, tree.ErrNotDir
		default:
			made.files, made.from = p.files, from
		}
	}
	p.put(name, made)
	return made, nil
}

// emptyChild returns the place of that name below p for a part, where p must have nothing: a
// submodule is nothing.
func (p *pathNode) emptyChild(name string) (*pathNode, error) {
	if known := p.children[name]; known != nil {
		return known, nil
	}
	if p.files != nil {
		switch there, err := p.files.Stat(path.Join(p.from, name)); {
		case errors.Is(err, fs.ErrNotExist), err == nil && there.Mode == tree.Submodule:
		case err != nil:
			return nil, err
		default:
			return nil, fs.ErrExist
		}
	}
	made := &pathNode{}
	p.put(name, made)
	return made, nil
}

func (p *pathNode) put(name string, made *pathNode) {
	if p.children == nil {
		p.children = map[string]*pathNode{}
	}
	p.children[name] = made
}

// seal finds out what is at a place and all below it.
func (p *pathNode) seal(name string) error {
	p.entry = tree.Entry{Name: name, Mode: tree.Dir}
	if len(p.children) == 0 && p.files != nil {
		found, err := p.files.Stat(p.from)
		if err != nil {
			return err
		}
		p.entry.Mode, p.entry.Hash = found.Mode, found.Hash
		return nil
	}
	if p.files != nil {
		entries, err := p.files.ReadDir(p.from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if p.children[e.Name] == nil {
				p.entries = append(p.entries, e)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.children)) {
		child := p.children[name]
		if err := child.seal(name); err != nil {
			return err
		}
		p.entries = append(p.entries, child.entry)
	}
	slices.SortFunc(p.entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	p.entry.Hash = tree.DirHash(p.entries)
	return nil
}

// find returns the deepest place on the way to a path, and what is left of it.
func (c *composedTree) find(name string) (p *pathNode, rest string, err error) {
	parts, err := tree.Split(name)
	if err != nil {
		return nil, "", err
	}
	p = c.root
	for i, part := range parts {
		next := p.children[part]
		if next == nil {
			return p, path.Join(parts[i:]...), nil
		}
		p = next
	}
	return p, "", nil
}

// Hash implements [tree.Tree].
func (c *composedTree) Hash(name string) (string, error) {
	e, err := c.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return e.Hash, err
}

// Stat implements [tree.Tree].
func (c *composedTree) Stat(name string) (tree.Entry, error) {
	p, rest, err := c.find(name)
	switch {
	case err != nil:
		return tree.Entry{}, err
	case rest == "":
		return p.entry, nil
	case p.files == nil:
		return tree.Entry{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return p.files.Stat(path.Join(p.from, rest))
}

// ReadDir implements [tree.Tree].
func (c *composedTree) ReadDir(name string) ([]tree.Entry, error) {
	p, rest, err := c.find(name)
	switch {
	case err != nil:
		return nil, err
	case rest == "" && (len(p.children) > 0 || p.files == nil):
		return slices.Clone(p.entries), nil
	case p.files == nil:
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return p.files.ReadDir(path.Join(p.from, rest))
}

// ReadFile implements [tree.Tree].
func (c *composedTree) ReadFile(name string) ([]byte, error) {
	p, rest, err := c.find(name)
	switch {
	case err != nil:
		return nil, err
	case p.files == nil || rest == "" && p.entry.Mode == tree.Dir:
		e, err := c.Stat(name)
		if err == nil && e.Mode == tree.Dir {
			err = &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
		}
		return nil, err
	}
	return p.files.ReadFile(path.Join(p.from, rest))
}

// ReadBlob implements [Files]: one of the trees has it.
func (c *composedTree) ReadBlob(hash string) ([]byte, error) {
	return anyOf(c.files, func(f Files) ([]byte, error) { return f.ReadBlob(hash) })
}

// BlobSize implements [Files].
func (c *composedTree) BlobSize(hash string) (int64, error) {
	return anyOf(c.files, func(f Files) (int64, error) { return f.BlobSize(hash) })
}

// anyOf is the first answer that is no error, or all errors.
func anyOf[B Blobs, T any](all []B, ask func(B) (T, error)) (T, error) {
	var errs []error
	var none T
	for _, f := range all {
		found, err := ask(f)
		if err == nil {
			return found, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return none, fmt.Errorf("reading from no tree: %w", fs.ErrNotExist)
	}
	return none, errors.Join(errs...)
}
