package writeback

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/utils/lru"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// Bounds of the index: a few hundred bytes an entry, more for marked files.
const (
	maxBlobs = 200_000
	maxTrees = 50_000
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
	blobs *lru.Cache // hash -> found
	trees *lru.Cache // hash -> []tree.Entry that have something, or have it below
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{blobs: lru.New(maxBlobs), trees: lru.New(maxTrees)}
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

func (f found) something() bool { return len(f.Markers) > 0 || f.Skip != "" }

// Marked lists the files with markers at or below root, in order of the tree.
// Hidden directories count, symlinks and submodules do not.
func (x *Index) Marked(files Files, root string) ([]File, error) {
	at, err := files.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("looking for markers in %q: %w", root, err)
	}
	w := walk{index: x, files: files}
	switch at.Mode {
	case tree.Dir:
		_, err = w.directory(path.Clean(root), at.Hash)
	case tree.File, tree.Executable:
		_, err = w.file(path.Clean(root), at.Hash)
	default:
		err = fmt.Errorf("looking for markers in %q: %w", root, tree.ErrNotDir)
	}
	return w.found, err
}

// walk is one traversal of a tree.
type walk struct {
	index *Index
	files Files
	found []File
}

// directory reports whether there is something below dir.
func (w *walk) directory(dir, hash string) (bool, error) {
	if strings.Count(dir, "/") >= maxDepth {
		return w.skip(dir, TooDeep)
	}
	if entries, known := w.index.trees.Get(hash); known && hash != "" {
		_, err := w.entries(dir, entries.([]tree.Entry))
		return len(entries.([]tree.Entry)) > 0, err
	}
	all, err := w.files.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("reading directory %s: %w", dir, err)
	}
	marked, err := w.entries(dir, all)
	if err != nil {
		return false, err
	}
	if hash != "" {
		w.index.trees.Add(hash, marked)
	}
	return len(marked) > 0, nil
}

// entries visits the entries of dir and returns those with something.
func (w *walk) entries(dir string, entries []tree.Entry) ([]tree.Entry, error) {
	var marked []tree.Entry
	for _, e := range entries {
		has, err := w.entry(path.Join(dir, e.Name), e)
		if err != nil {
			return nil, err
		}
		if has {
			marked = append(marked, e)
		}
	}
	return marked, nil
}

func (w *walk) entry(name string, e tree.Entry) (bool, error) {
	switch {
	case e.Mode == tree.Dir && unsafe(e.Name), e.Mode.IsFile() && mayHoldMarkers(e.Name) && unsafe(e.Name):
		return w.skip(name, UnsafePath)
	case e.Mode == tree.Dir:
		return w.directory(name, e.Hash)
	case e.Mode.IsFile() && mayHoldMarkers(e.Name):
		return w.file(name, e.Hash)
	}
	return false, nil
}

// file reports whether the file has something.
func (w *walk) file(name, hash string) (bool, error) {
	var in found
	if known, ok := w.index.blobs.Get(hash); ok && hash != "" {
		in = known.(found)
	} else {
		content, err := w.files.ReadFile(name)
		if errors.Is(err, fs.ErrPermission) {
			return w.skip(name, Unreadable)
		}
		if err != nil {
			return false, fmt.Errorf("reading file %s: %w", name, err)
		}
		in = found{Markers: edit.Scan(content)}
		if hash != "" {
			w.index.blobs.Add(hash, in)
		}
	}
	if in.something() {
		w.found = append(w.found, File{Path: name, found: in})
	}
	return in.something(), nil
}

func (w *walk) skip(name string, why edit.Reason) (bool, error) {
	w.found = append(w.found, File{Path: name, found: found{Skip: why}})
	return true, nil
}

// unsafe reports names that Git does not write to a disk, or that would mean
// something else as part of a path.
func unsafe(name string) bool {
	return name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.ContainsAny(name, "/\x00\\")
}

func mayHoldMarkers(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || name == "Kustomization"
}
