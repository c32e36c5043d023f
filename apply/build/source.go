// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sluice-cd/sluice/internal/tree"
)

// mount is where the overlay shows the tree. It is not the root, so that a path
// that climbs out of the tree can be told from one within it.
const mount = "/source"

var (
	errReadOnly = errors.New("a source is read-only")
	errOutside  = errors.New("path is outside of the source")
)

// source is the files that a build is made of: those of a tree, generated ones in
// front of them, and what was fetched beside it. It records what is asked of the tree.
type source struct {
	remotes
	refused *refusal
	// end says why the build has ended: nothing can be read after. nil never ends.
	end   func() error
	own   *mounted // of the source itself
	files map[string][]byte
	reads Reads
	// sealed are the files that are encrypted.
	sealed map[string][]byte
}

// ended says why the build may read nothing more.
func (s *source) ended() error {
	if s.end == nil {
		return nil
	}
	if err := s.end(); err != nil {
		return s.refused.refuse(err)
	}
	return nil
}

// inTree returns the path within the tree of a path that kustomize uses.
func inTree(name string) (string, error) {
	name = path.Clean(name)
	if name == mount {
		return ".", nil
	}
	if inside, ok := strings.CutPrefix(name, mount+"/"); ok {
		return inside, nil
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: errOutside}
}

// place is an entry and where it is: in which tree, where it was looked for in that, and where it
// really is.
type place struct {
	tree.Entry
	in          *mounted
	asked, real string
}

// path is where the overlay shows it.
func (p place) path() string { return path.Join(p.in.at, p.real) }

// entry looks a path up and records that it was looked for.
func (s *source) entry(name string) (place, error) {
	found := place{in: s.own}
	if in, inside := s.mountOf(path.Clean(name)); in != nil {
		found.in, found.asked = in, inside
	} else {
		var err error
		if found.asked, err = inTree(name); err != nil {
			return place{}, err
		}
	}
	if err := s.ended(); err != nil {
		return place{}, err
	}
	var err error
	if found.Entry, found.real, err = statEntry(found.in.symlinks, found.asked); err != nil {
		return place{}, s.unreadable(err)
	}
	if found.in == s.own {
		s.reads.probe(found.asked, found.Entry)
	}
	return found, nil
}

// noteRead notes that the build depends on all that is at a place of the source.
func (s *source) noteRead(p place) {
	if p.in == s.own {
		s.reads.read(p.asked, p.Entry)
	}
}

// Exists implements filesys.FileSystem.
func (s *source) Exists(name string) bool {
	if _, ok := s.files[path.Clean(name)]; ok {
		return true
	}
	found, err := s.entry(name)
	return err == nil && kindOf(found.Entry) != absent
}

// IsDir implements filesys.FileSystem.
func (s *source) IsDir(name string) bool {
	if _, ok := s.files[path.Clean(name)]; ok {
		return false
	}
	found, err := s.entry(name)
	return err == nil && found.Mode == tree.Dir
}

func (s *source) content(name string) ([]byte, error) {
	if data, ok := s.files[path.Clean(name)]; ok {
		return data, nil
	}
	found, err := s.entry(name)
	switch {
	case err != nil:
		return nil, err
	case kindOf(found.Entry) == absent:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case found.Mode == tree.Dir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
	}
	s.noteRead(found)
	data, err := found.in.tree.ReadFile(found.real)
	if err != nil {
		return nil, s.unreadable(err)
	}
	if isSealed(data) {
		s.sealed[strings.TrimPrefix(found.in.name+"/"+found.asked, "/")] = data
	}
	return data, nil
}

// unreadable keeps that something which is there could not be read, so that kustomize
// does not take it for absent, nor anybody the failure for that of the commit.
func (s *source) unreadable(err error) error {
	if errors.Is(err, tree.ErrLeaves) || errors.Is(err, ErrTooLarge) {
		return s.refused.refuse(err)
	}
	return s.refused.refuse(fmt.Errorf("%w: %w", errUnreadable, err))
}

// list returns a directory's entries; the build then depends on all of it. Links
// are left out: see links.
func (s *source) list(name string) ([]tree.Entry, error) {
	found, err := s.entry(name)
	if err != nil {
		return nil, err
	}
	s.noteRead(found)
	if found.Mode != tree.Dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: tree.ErrNotDir}
	}
	entries, err := found.in.tree.ReadDir(found.real)
	if err != nil {
		return nil, s.unreadable(err)
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e tree.Entry) bool { return kindOf(e) == absent }), nil
}

// links returns the paths of the links in a directory whose names match.
func (s *source) links(dir string, match func(string) bool) ([]string, error) {
	at, err := s.entry(dir)
	if err != nil {
		return nil, err
	}
	entries, err := at.in.tree.ReadDir(at.real)
	var found []string
	for _, e := range entries {
		if e.Mode == tree.Symlink && match(e.Name) {
			found = append(found, path.Join(dir, e.Name))
		}
	}
	return found, err
}

// CleanedAbs implements filesys.FileSystem. As on a disk, it says where a path leads
// to, so that "../" in a directory behind a link starts at the directory.
func (s *source) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	name = path.Clean(name)
	if !path.IsAbs(name) {
		name = path.Join(mount, name)
	}
	if _, ok := s.files[name]; ok {
		return filesys.ConfirmedDir(path.Dir(name)), path.Base(name), nil
	}
	found, err := s.entry(name)
	switch {
	case err != nil:
		return "", "", err
	case found.Mode == tree.Dir:
		return filesys.ConfirmedDir(found.path()), "", nil
	case kindOf(found.Entry) != absent:
		return filesys.ConfirmedDir(path.Dir(found.path())), path.Base(found.path()), nil
	}
	return "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
