// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// File is a file of a source, or of an artifact.
type File struct {
	Executable bool
	// Hash is the hash of its content, by which [Contents] know it.
	Hash string
}

// Files are files by their paths: slash-separated, clean, relative.
type Files map[string]File

// Listing is the files of a source, with the directories that follow from their paths.
type Listing struct {
	files Files
	// dirs are the names in each directory, sorted; the root is ".".
	dirs  map[string][]string
	bytes int // of all paths
}

// NewListing lists files. Those are not to be changed afterwards.
func NewListing(files Files) *Listing {
	l := &Listing{files: files, dirs: map[string][]string{".": nil}}
	for name := range files {
		l.bytes += len(name)
		for at := name; at != "."; {
			dir := path.Dir(at)
			_, known := l.dirs[dir]
			l.dirs[dir] = append(l.dirs[dir], path.Base(at))
			if known {
				break
			}
			at = dir
		}
	}
	for _, names := range l.dirs {
		slices.Sort(names)
	}
	return l
}

// Dirs are the directories below the root, sorted.
func (l *Listing) Dirs() []string {
	dirs := slices.Sorted(maps.Keys(l.dirs))
	return slices.DeleteFunc(dirs, func(dir string) bool { return dir == "." })
}

// isDir reports whether a path is a directory.
func (l *Listing) isDir(name string) bool {
	_, ok := l.dirs[name]
	return ok
}

// walk calls visit for each path below a directory, which may say not to go into one.
func (l *Listing) walk(dir string, visit func(name string) (enter bool, err error)) error {
	for _, base := range l.dirs[dir] {
		name := path.Join(dir, base)
		enter, err := visit(name)
		if err == nil && enter && l.isDir(name) {
			err = l.walk(name, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// staging is an artifact that is being put together.
type staging struct {
	files Files
	// dirs are its directories.
	dirs  map[string]bool
	bytes int // of all paths
}

// put puts a file at a path, over one that is there.
func (s *staging) put(name string, f File) error {
	switch {
	case name == "." || s.dirs[name]:
		return fmt.Errorf("%w: '%s' is a directory of the artifact already", ErrContent, name)
	case len(name) > maxPath:
		return fmt.Errorf("%w: '%.100s...' is a path of more than %d bytes", ErrContent, name, maxPath)
	}
	if _, there := s.files[name]; !there {
		if s.bytes += len(name); len(s.files) >= MaxFiles || s.bytes > maxPaths {
			return fmt.Errorf("%w: the artifact has more than %d files, or %d bytes of paths", ErrContent, MaxFiles, maxPaths)
		}
	}
	for dir := path.Dir(name); dir != "." && !s.dirs[dir]; dir = path.Dir(dir) {
		if _, file := s.files[dir]; file {
			return fmt.Errorf("%w: '%s' is a file of the artifact already, and no directory for '%s'", ErrContent, dir, path.Base(name))
		}
		if s.dirs[dir] = true; len(s.dirs) > MaxFiles {
			return fmt.Errorf("%w: the artifact has more than %d directories", ErrContent, MaxFiles)
		}
	}
	s.files[name] = f
	return nil
}

const (
	// MaxFiles bounds the files of an artifact, and its directories.
	MaxFiles = 200_000
	// maxPaths bounds the bytes of all its paths.
	maxPaths = 64 << 20
	// maxPath is what Linux allows.
	maxPath = 4096
)

// local is a path below a root: what os.Root would open.
func local(name string) (string, error) {
	clean := path.Clean(name)
	if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("path '%s' leads out of the root", name)
	}
	return clean, nil
}
