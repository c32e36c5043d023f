// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Disk is a tree of files on disk, which is read when it is asked for. It leaves out what
// Git keeps for itself. Its hashes say that something is there, and not what.
type Disk struct {
	root  *os.Root
	leave func(name string, dir bool) bool
}

// onDisk is the hash of everything.
const onDisk = "disk"

// NewDisk returns the tree of a directory. Symbolic links are not followed out of it. What
// leave reports, by paths from the root, is left out; nil leaves out nothing.
func NewDisk(root *os.Root, leave func(name string, dir bool) bool) *Disk {
	return &Disk{root: root, leave: leave}
}

// place is a path below the root; not ok if it is left out.
func (d *Disk) place(name string) (string, bool, error) {
	parts, err := Split(name)
	if err != nil {
		return "", false, err
	}
	at := "."
	for i, part := range parts {
		at = path.Join(at, part)
		if part == ".git" || d.leave != nil && d.leave(at, i < len(parts)-1) {
			return at, false, nil
		}
	}
	return at, true, nil
}

// Hash implements [Tree].
func (d *Disk) Hash(name string) (string, error) {
	_, err := d.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return onDisk, err
}

// Stat implements [Tree].
func (d *Disk) Stat(name string) (Entry, error) {
	at, ok, err := d.place(name)
	if err != nil {
		return Entry{}, err
	}
	if !ok {
		return Entry{}, nothing("stat", name)
	}
	info, err := d.root.Lstat(at)
	if err != nil {
		return Entry{}, asTree(err)
	}
	if d.leave != nil && at != "." && d.leave(at, info.IsDir()) {
		return Entry{}, nothing("stat", name)
	}
	return entryOf(path.Base(at), info.Mode()), nil
}

// ReadDir implements [Tree].
func (d *Disk) ReadDir(name string) ([]Entry, error) {
	at, ok, err := d.place(name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, nothing("open", name)
	}
	info, err := d.root.Lstat(at)
	if err != nil {
		return nil, asTree(err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, ErrNotDir)
	}
	dir, err := d.root.Open(at)
	if err != nil {
		return nil, asTree(err)
	}
	defer dir.Close()
	found, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, f := range found {
		if f.Name() == ".git" || d.leave != nil && d.leave(path.Join(at, f.Name()), f.IsDir()) {
			continue
		}
		info, err := f.Info()
		if err != nil {
			continue // it is gone
		}
		entries = append(entries, entryOf(f.Name(), info.Mode()))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// ReadFile implements [Tree].
func (d *Disk) ReadFile(name string) ([]byte, error) {
	entry, err := d.Stat(name)
	if err != nil {
		return nil, err
	}
	at, _, _ := d.place(name) // Stat found it
	switch entry.Mode {
	case Symlink:
		target, err := d.root.Readlink(at)
		return []byte(target), err
	case Dir:
		return nil, fmt.Errorf("%s: %w", name, ErrIsDir)
	}
	return d.root.ReadFile(at)
}

func entryOf(name string, mode fs.FileMode) Entry {
	e := Entry{Name: name, Mode: File, Hash: onDisk}
	switch {
	case mode.IsDir():
		e.Mode = Dir
	case mode&fs.ModeSymlink != 0:
		e.Mode = Symlink
	case mode&0o111 != 0:
		e.Mode = Executable
	}
	return e
}

// asTree is an error of the file system as a tree has it.
func asTree(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", err, ErrNotDir)
	}
	return err
}

func nothing(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}
