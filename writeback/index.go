package writeback

import (
	"fmt"
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

// Index remembers what was found in blobs and trees, by hash. It is safe for
// concurrent use, and may be shared by all repositories.
type Index struct {
	blobs *lru.Cache // hash -> []edit.Marker
	trees *lru.Cache // hash -> []tree.Entry that have markers, or have them below
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{blobs: lru.New(maxBlobs), trees: lru.New(maxTrees)}
}

// File is a file with markers.
type File struct {
	Path    string
	Markers []edit.Marker
}

// Marked lists the files with markers at or below root, in order of the tree.
// Hidden directories count, symlinks and submodules do not.
func (x *Index) Marked(t tree.Tree, root string) ([]File, error) {
	at, err := t.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("looking for markers in %q: %w", root, err)
	}
	w := walk{index: x, tree: t}
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
	tree  tree.Tree
	found []File
}

// directory reports whether there are markers below dir.
func (w *walk) directory(dir, hash string) (bool, error) {
	entries, known := w.index.trees.Get(hash)
	if known {
		_, err := w.entries(dir, entries.([]tree.Entry))
		return len(entries.([]tree.Entry)) > 0, err
	}
	all, err := w.tree.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("reading directory %s: %w", dir, err)
	}
	marked, err := w.entries(dir, all)
	if err != nil {
		return false, err
	}
	w.index.trees.Add(hash, marked)
	return len(marked) > 0, nil
}

// entries visits the entries of dir and returns those with markers.
func (w *walk) entries(dir string, entries []tree.Entry) ([]tree.Entry, error) {
	var marked []tree.Entry
	for _, e := range entries {
		var has bool
		var err error
		switch {
		case e.Mode == tree.Dir:
			has, err = w.directory(path.Join(dir, e.Name), e.Hash)
		case e.Mode.IsFile() && mayHoldMarkers(e.Name):
			has, err = w.file(path.Join(dir, e.Name), e.Hash)
		}
		if err != nil {
			return nil, err
		}
		if has {
			marked = append(marked, e)
		}
	}
	return marked, nil
}

// file reports whether the file has markers.
func (w *walk) file(name, hash string) (bool, error) {
	markers, known := w.index.blobs.Get(hash)
	if !known {
		content, err := w.tree.ReadFile(name)
		if err != nil {
			return false, fmt.Errorf("reading file %s: %w", name, err)
		}
		markers = edit.Scan(content)
		w.index.blobs.Add(hash, markers)
	}
	if len(markers.([]edit.Marker)) == 0 {
		return false, nil
	}
	w.found = append(w.found, File{Path: name, Markers: markers.([]edit.Marker)})
	return true, nil
}

func mayHoldMarkers(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || name == "Kustomization"
}
