// SPDX-License-Identifier: Apache-2.0

// Package tree is a read-only tree of files in which everything has a content
// hash: what a source hands to those who build from it.
//
// The hashes are Git's object ids. A file's hash is that of its blob; a
// directory's covers the names, modes and hashes of all that is below it, so
// two equal hashes mean equal content, wherever the tree came from:
//
//	commit in a mirror (internal/git) --.
//	artifact tarball   (FromTar)      --+--> Tree --> build, keyed by Hash(path)
//	files in memory    (New)          --'
//
// That is what lets a reader skip work: when the hash of a path did not change,
// nothing below it did. Paths are slash-separated and relative to the root;
// "", "." and "/" are the root, and none may climb out of it.
package tree

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Below reports whether a path is at or below another one.
func Below(p, root string) bool {
	p, root = path.Clean("/"+p), path.Clean("/"+root)
	return root == "/" || p == root || strings.HasPrefix(p, root+"/")
}

// Mode is the kind of an entry, with the numeric values of Git's tree objects.
type Mode uint32

// The modes that a tree can hold.
const (
	Dir        Mode = 0o040000
	File       Mode = 0o100644
	Executable Mode = 0o100755
	Symlink    Mode = 0o120000
	Submodule  Mode = 0o160000
)

// IsFile reports whether the entry has regular content.
func (m Mode) IsFile() bool { return m == File || m == Executable }

// Entry is one name in a directory.
type Entry struct {
	Name string
	Mode Mode
	// Hash is the hex object id of the blob or tree, or of the commit that a
	// submodule points at.
	Hash string
}

// Tree is a read-only tree of files. Implementations are safe for concurrent
// use.
type Tree interface {
	// Hash returns the object id at path, or "" when nothing is there.
	Hash(path string) (string, error)
	// ReadDir lists a directory, sorted by name. The error is fs.ErrNotExist
	// when nothing is there, and ErrNotDir when it is not a directory.
	ReadDir(path string) ([]Entry, error)
	// ReadFile returns the content at path. It follows no symlinks: the content
	// of a symlink is its target. Callers must not change the bytes.
	ReadFile(path string) ([]byte, error)
	// Stat describes what is at path; the root's name is ".".
	Stat(path string) (Entry, error)
}

// ErrNotDir is returned for a path that is, or runs through, something that is
// no directory.
var ErrNotDir = fmt.Errorf("not a directory: %w", fs.ErrInvalid)

// ErrIsDir is returned when a directory is read as a file.
var ErrIsDir = fmt.Errorf("is a directory: %w", fs.ErrInvalid)

// Split returns the elements of a path, none for the root. A path that climbs
// out of the root is refused, for it would read what the tree does not hold.
func Split(name string) ([]string, error) {
	clean := strings.TrimPrefix(path.Clean(strings.TrimLeft(name, "/")), "/")
	switch {
	case clean == "." || clean == "":
		return nil, nil
	case clean == ".." || strings.HasPrefix(clean, "../"):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return strings.Split(clean, "/"), nil
}

// Walk calls visit for every entry below root that is not a directory, in
// lexical order of directories, with its path from the tree's root.
func Walk(t Tree, root string, visit func(path string, e Entry) error) error {
	entries, err := t.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(root, e.Name)
		if e.Mode == Dir {
			err = Walk(t, name, visit)
		} else {
			err = visit(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
