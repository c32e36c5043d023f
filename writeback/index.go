// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// Bounds of the index in bytes: files without markers take some 250, a marker as
// much again.
const (
	maxBlobs = 64 << 20
	maxTrees = 32 << 20
)

// Bounds of the markers that one file may have, of those that one run may find, and of
// the paths of their files in bytes. A file that is left alone counts as a marker: a tree
// of a few objects can have a million of them.
const (
	maxMarkers = 10_000
	maxMarked  = 100_000
	maxPaths   = 32 << 20
)

// Errors of a run that would have to keep more in memory than it may.
var (
	ErrTooManyMarkers = errors.New("there are more than 100,000 markers and files that are left alone: narrow spec.update.path")
	ErrTooLongPaths   = errors.New("the paths of files that have markers or are left alone make more than 32 MiB: narrow spec.update.path")
)

// maxDepth bounds how deep directories may nest, for a tree of a few objects can
// nest as deep as it likes.
const maxDepth = 128

// Why a file is left alone as a whole. A file that has no markers needs no reason.
const (
	// TooDeep directories are below 128 others.
	TooDeep edit.Reason = "the directory is nested more than 128 deep"
	// UnsafePath is one that Git refuses to check out, or a path of no files.
	UnsafePath edit.Reason = "the path has a name that Git does not check out"
	// TooMany markers are in one file.
	TooMany edit.Reason = "the file has more than 10,000 markers"
	// Linked files are edited where they are, if that is at or below the path.
	Linked edit.Reason = "it is a symlink, which is not followed, to markers outside of the path: add what it points to"
	// LinkedName is a symlink to a file that is looked at under no name of its own.
	LinkedName edit.Reason = "it is a symlink, which is not followed, to markers in a file whose name does not end in .yaml or .yml: rename it"
	// OtherName is one that Flux does not look at either.
	OtherName edit.Reason = "the file has markers, but its name does not end in .yaml or .yml in lower case: rename it"
	// Unreadable files may not be read by whoever asks.
	Unreadable edit.Reason = "there is no permission to read the file"
)

// Files are what an index looks at: a commit of a mirror, or a [Directory]. An
// entry without a hash is read each time anew.
type Files interface {
	ReadDir(path string) ([]tree.Entry, error)
	ReadFile(path string) ([]byte, error)
	Stat(path string) (tree.Entry, error)
}

// Index remembers what was found in blobs and trees, by hash. It is safe for
// concurrent use, and may be shared by all repositories.
type Index struct {
	blobs *lru.Cache[string, found]        // by hash
	trees *lru.Cache[string, []tree.Entry] // by hash: those that have something, or have it below
	// memory is for what parsing a file takes; nil is no limit.
	memory *budget.Budget
}

// NewIndex returns an empty index that parses files within a budget; nil is none.
func NewIndex(memory *budget.Budget) *Index {
	return &Index{blobs: lru.New(maxBlobs, weighBlob), trees: lru.New(maxTrees, weighTree), memory: memory}
}

// costOfEntry is about how many bytes an entry takes besides its key and its value.
const costOfEntry = 200

func weighBlob(hash string, in found) int64 { return costOfEntry + int64(len(hash)) + in.weight() }

func weighTree(hash string, entries []tree.Entry) int64 {
	return costOfEntry + int64(len(hash)) + weightOf(entries)
}

// keepTree remembers what of a directory has something. A directory without a hash is
// listed each time, and so is one that would take a large part of the cache.
func (x *Index) keepTree(hash string, marked []tree.Entry) {
	if hash != "" && weighTree(hash, marked) <= maxTrees/8 {
		x.trees.Put(hash, marked)
	}
}

// keepBlob remembers what a file has, likewise.
func (x *Index) keepBlob(hash string, in found) {
	if hash != "" && weighBlob(hash, in) <= maxBlobs/8 {
		x.blobs.Put(hash, in)
	}
}

// weightOf is about how many bytes entries take.
func weightOf(entries []tree.Entry) int64 {
	weight := int64(0)
	for _, e := range entries {
		weight += 100 + int64(len(e.Name))
	}
	return weight
}

// File is a file with markers, or one that is left alone as a whole.
type File struct {
	Path string
	found
}

// found is what a file has.
type found struct {
	Markers []edit.Marker
	Skip    edit.Reason
}

// weight is about how many bytes it takes.
func (f found) weight() int64 {
	weight := int64(0)
	for _, m := range f.Markers {
		weight += m.Weight()
	}
	return weight
}

func (f found) something() bool { return len(f.Markers) > 0 || f.Skip != "" }

// Marked lists the files with markers at or below root, in order of the tree.
// Hidden directories count, symlinks and submodules do not. What parsing takes is
// of the budget of a namespace.
func (x *Index) Marked(ctx context.Context, files Files, root, namespace string) ([]File, error) {
	s := x.search(files, namespace)
	at, err := files.Stat(root)
	if err != nil || at.Mode == tree.Symlink {
		err = cmp.Or(linkError(files, &s.links, root), err)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for markers in %q: %w", root, err)
	}
	switch at.Mode {
	case tree.Dir:
		_, err = s.directory(ctx, path.Clean(root), at.Hash)
	case tree.File, tree.Executable:
		_, err = s.file(ctx, path.Clean(root), at.Hash)
	default:
		err = fmt.Errorf("looking for markers in %q: %w", root, tree.ErrNotDir)
	}
	if err == nil {
		err = s.follow(ctx, path.Clean(root))
	}
	return s.found, err
}

// search looks for markers in a tree.
type search struct {
	index     *Index
	files     Files
	namespace string
	found     []File
	markers   int      // of found, with the files that are left alone
	paths     int      // bytes of found's
	linked    []string // symlinks that were found
	links     tree.Links
	resolved  int // links that were followed
}

func (x *Index) search(files Files, namespace string) *search {
	return &search{index: x, files: files, namespace: namespace, links: tree.Links{In: files, Names: maxNames}}
}

// directory reports whether there is something below dir.
func (s *search) directory(ctx context.Context, dir, hash string) (bool, error) {
	if strings.Count(dir, "/") >= maxDepth {
		return s.skip(dir, TooDeep)
	}
	if entries, known := s.index.trees.Get(hash); known {
		_, err := s.entries(ctx, dir, entries)
		return len(entries) > 0, err
	}
	all, err := s.files.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("reading directory %s: %w", dir, err)
	}
	marked, err := s.entries(ctx, dir, all)
	if err != nil {
		return false, err
	}
	s.index.keepTree(hash, marked)
	return len(marked) > 0, nil
}

// entries visits the entries of dir and returns those with something. A symlink
// may have something: what it points to may change while it does not.
func (s *search) entries(ctx context.Context, dir string, entries []tree.Entry) ([]tree.Entry, error) {
	var marked []tree.Entry
	for _, e := range entries {
		has, err := s.entry(ctx, path.Join(dir, e.Name), e)
		if err != nil {
			return nil, err
		}
		if has {
			marked = append(marked, e)
		}
	}
	return marked, nil
}

func (s *search) entry(ctx context.Context, name string, e tree.Entry) (bool, error) {
	switch {
	case e.Mode == tree.Dir && unsafe(e.Name), e.Mode.IsFile() && isYAML(e.Name) && unsafe(e.Name):
		return s.skip(name, UnsafePath)
	case e.Mode == tree.Dir:
		return s.directory(ctx, name, e.Hash)
	case e.Mode.IsFile() && isYAML(e.Name):
		return s.file(ctx, name, e.Hash)
	case e.Mode == tree.Symlink && len(s.linked) < maxLinks:
		s.linked = append(s.linked, name)
		return true, nil
	}
	return false, nil
}

// file reports whether the file has something.
func (s *search) file(ctx context.Context, name, hash string) (bool, error) {
	in, known := s.index.blobs.Get(hash)
	if !known {
		content, err := s.files.ReadFile(name)
		if errors.Is(err, fs.ErrPermission) {
			return s.skip(name, Unreadable)
		}
		if err != nil {
			return false, fmt.Errorf("reading file %s: %w", name, err)
		}
		if in, err = s.index.scan(ctx, content, s.namespace); err != nil {
			return false, fmt.Errorf("reading file %s: %w", name, err)
		}
		s.index.keepBlob(hash, in)
	}
	if base := path.Base(name); isYAML(base) && !mayHoldMarkers(base) {
		if in.something() {
			return s.skip(name, OtherName)
		}
		return false, nil
	}
	if !in.something() {
		return false, nil
	}
	return true, s.add(File{Path: name, found: in})
}

// add is of what was found.
func (s *search) add(f File) error {
	s.markers += max(len(f.Markers), 1)
	s.paths += len(f.Path)
	switch {
	case s.markers > maxMarked:
		return ErrTooManyMarkers
	case s.paths > maxPaths:
		return ErrTooLongPaths
	}
	s.found = append(s.found, f)
	return nil
}

// scan finds the markers of a file. The time of a run is the time of its context.
func (x *Index) scan(ctx context.Context, content []byte, namespace string) (found, error) {
	if err := ctx.Err(); err != nil {
		return found{}, err
	}
	grant, err := x.memory.Acquire(ctx, namespace, edit.Memory(content))
	if err != nil {
		return found{}, err
	}
	defer grant.Release()
	markers := edit.Scan(content)
	if len(markers) > maxMarkers {
		return found{Skip: TooMany}, nil
	}
	return found{Markers: markers}, nil
}

func (s *search) skip(name string, why edit.Reason) (bool, error) {
	return true, s.add(File{Path: name, found: found{Skip: why}})
}

// unsafe reports names that Git does not write to a disk, or that would mean
// something else as part of a path.
func unsafe(name string) bool {
	return name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.ContainsAny(name, "/\x00\\")
}

// isYAML tells whether the name is that of YAML, in whatever case it is written.
func isYAML(name string) bool { return mayHoldMarkers(name) || mayHoldMarkers(strings.ToLower(name)) }

// mayHoldMarkers tells whether a file of this name is edited: Flux looks at the same ones.
func mayHoldMarkers(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || name == "Kustomization"
}
