// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Why a path with symbolic links leads nowhere, beside [fs.ErrNotExist] and [ErrNotDir].
var (
	// ErrLeaves is the error of a link to outside of the tree, or to an absolute path.
	ErrLeaves = errors.New("the link leads out of the source")
	// ErrLoop is the error of a path through more links than an operating system follows.
	ErrLoop = errors.New("the path leads through more links than an operating system follows")
)

// ErrTooManyNames says that [Links] have looked up as many names as they may.
var ErrTooManyNames = errors.New("symbolic links lead by too many names")

const (
	// maxHops is how many links a path may lead through, as on Linux.
	maxHops = 40
	// maxTarget is how long the target of a link may be, as on Linux.
	maxTarget = 4096
)

// Links follow the symbolic links of a tree, name by name, as an operating system does:
// what comes after a link goes on from where it leads, so that "link/.." is the directory
// above its target. What a tree says must cost nobody much: a target of 4096 bytes has
// some 2000 names, each of them may be a link, and there may be as many such links as
// there are files.
type Links struct {
	// In is the tree. One that also knows how long content is, as a
	// BlobSize(hash string) (int64, error), is not asked for that of a link which is too
	// long for one.
	In interface {
		Stat(path string) (Entry, error)
		ReadFile(path string) ([]byte, error)
	}
	// Names is how many names may be looked up on the way along links, by all calls
	// together.
	Names int
	// Stopped, if set, says why nobody waits for the answer any more, or nil.
	Stopped func() error
}

// Place is an entry and where it really is, from the root of the tree, which is ".".
type Place struct {
	Entry
	Path string
}

// LeadsNowhere reports whether an error of [Links.Follow] is about the path: where it
// leads, there is nothing.
func LeadsNowhere(err error) bool {
	for _, nowhere := range []error{fs.ErrNotExist, fs.ErrInvalid, ErrLeaves, ErrLoop} {
		if errors.Is(err, nowhere) {
			return true
		}
	}
	return false
}

// Follow returns what is at a path, all links followed: those on the way and the last. It
// is never a link. The error is that of the tree, of Stopped, [ErrTooManyNames], or one
// that [LeadsNowhere]. The elements ".." of the path itself are taken off first.
func (l *Links) Follow(name string) (Place, error) {
	parts, err := Split(name)
	if err != nil {
		return Place{}, err
	}
	name = path.Join(parts...)
	if name == "" {
		name = "."
	}
	found, err := l.stat(name)
	switch {
	case err != nil:
		return Place{}, err
	case found.Mode == Symlink: // and no part before it, or it would not have been found
		return l.walk(path.Dir(name), parts[len(parts)-1:])
	case found.Mode != 0:
		return Place{found, name}, nil
	}
	// Most of what is looked for is in a directory that is there.
	switch above, err := l.stat(path.Dir(name)); {
	case err != nil:
		return Place{}, err
	case above.Mode == Dir:
		return Place{}, nothingAt(name)
	}
	return l.walk(".", parts)
}

// walk goes from name to name, beginning in a directory.
func (l *Links) walk(from string, left []string) (Place, error) {
	at, way := Place{Entry{Mode: Dir}, from}, linkChain{}
	for len(left) > 0 {
		if err := l.spend(); err != nil {
			return Place{}, err
		}
		part := left[0]
		left = left[1:]
		switch {
		case at.Mode != Dir:
			return Place{}, &fs.PathError{Op: "open", Path: path.Join(at.Path, part), Err: ErrNotDir}
		case part == "" || part == ".":
			continue
		case part == ".." && at.Path == ".":
			return Place{}, way.leaves()
		case part == "..":
			at = Place{Entry{Mode: Dir}, path.Dir(at.Path)}
			continue
		}
		next := path.Join(at.Path, part)
		found, err := l.stat(next)
		switch {
		case err != nil:
			return Place{}, err
		case found.Mode == 0:
			return Place{}, nothingAt(next)
		case found.Mode != Symlink:
			at = Place{found, next}
			continue
		}
		target, err := l.target(next, found)
		if err != nil {
			return Place{}, err
		}
		if err := way.through(next, target); err != nil {
			return Place{}, err
		}
		left = append(strings.Split(target, "/"), left...)
	}
	if at.Hash != "" {
		return at, nil
	}
	found, err := l.stat(at.Path) // what ".." has led to was not looked at
	return Place{found, at.Path}, err
}

// linkChain is the links that a path has led through.
type linkChain struct {
	hops         int
	link, target string // the last
}

func (w *linkChain) through(link, target string) error {
	w.hops++
	w.link, w.target = link, target
	switch {
	case w.hops > maxHops:
		return fmt.Errorf("%s: %w", link, ErrLoop)
	case path.IsAbs(target):
		return w.leaves()
	}
	return nil
}

func (w *linkChain) leaves() error {
	return fmt.Errorf("%s -> %.100s: %w", w.link, w.target, ErrLeaves)
}

func nothingAt(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

// spend pays for a name.
func (l *Links) spend() error {
	if l.Names--; l.Names < 0 {
		return ErrTooManyNames
	}
	if l.Stopped == nil {
		return nil
	}
	return l.Stopped()
}

// stat returns the zero entry for what is not there.
func (l *Links) stat(name string) (Entry, error) {
	e, err := l.In.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return Entry{}, nil
	}
	return e, err
}

// target is where a link points. One that no operating system could have leads nowhere.
func (l *Links) target(name string, link Entry) (string, error) {
	if sized, ok := l.In.(interface {
		BlobSize(hash string) (int64, error)
	}); ok {
		if size, err := sized.BlobSize(link.Hash); err != nil {
			return "", err
		} else if size > maxTarget {
			return "", nothingAt(name)
		}
	}
	target, err := l.In.ReadFile(name)
	if err == nil && (len(target) == 0 || len(target) > maxTarget) {
		err = nothingAt(name)
	}
	return string(target), err
}
