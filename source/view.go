package source

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Files is a tree that also finds content by hash, as a commit in a mirror does.
type Files interface {
	tree.Tree
	ReadBlob(hash string) ([]byte, error)
}

// View is what of a tree belongs into an artifact. It is a tree itself, of
// regular files only, and safe for concurrent use.
type View struct {
	files Files
	rules *rules
	root  *node
}

var _ tree.Tree = (*View)(nil)

// node is a directory of a view.
type node struct {
	// source is the hash of the directory that the node was made from. Equal
	// source and rules give an equal node, unless a symlink below it leads
	// somewhere else.
	source  string
	linked  bool
	hash    string
	entries []tree.Entry // sorted by name
	dirs    map[string]*node
}

// maxViewFiles bounds a view: symlinks can make a small tree endlessly large.
const maxViewFiles = 500_000

// NewView applies the ignore rules of a source: spec.ignore, which may be nil,
// and the .sourceignore files in the tree. What did not change since the view
// before, which may be nil, is taken over from it.
func NewView(files Files, ignore *string, before *View) (*View, error) {
	b := &builder{files: files, budget: maxViewFiles, active: map[string]bool{}}
	rules, err := b.loadRules(ignore)
	if err != nil {
		return nil, fmt.Errorf("reading ignore rules: %w", err)
	}
	b.rules = rules
	top, err := files.Stat("")
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	var known *node
	if before != nil && before.rules.key == rules.key {
		known = before.root
	}
	b.budget = maxViewFiles
	root, err := b.dir("", place{Entry: top}, known)
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	return &View{files: files, rules: rules, root: root}, nil
}

// builder makes the nodes of a view.
type builder struct {
	files  Files
	rules  *rules
	budget int
	active map[string]bool // directories that are being listed
}

// place is an entry and where in the tree it really lies, which behind a symlink
// is not where it shows.
type place struct {
	tree.Entry
	at string
}

// list returns a directory's files and directories, symlinks followed, and
// whether there were any.
func (b *builder) list(at string) (places []place, linked bool, err error) {
	entries, err := b.files.ReadDir(at)
	if err != nil {
		return nil, false, err
	}
	if b.budget -= len(entries); b.budget < 0 {
		return nil, false, tree.ErrTooLarge
	}
	for _, e := range entries {
		p := place{Entry: e, at: path.Join(at, e.Name)}
		if e.Mode == tree.Symlink {
			linked = true
			if p, err = b.follow(p); err != nil {
				return nil, false, err
			}
			p.Name = e.Name
		}
		if p.Mode.IsFile() || p.Mode == tree.Dir && !b.active[p.at] {
			places = append(places, p)
		}
	}
	return places, linked, nil
}

// maxLinks is how many symlinks may lead to one file, as in Linux.
const maxLinks = 40

// follow returns what a symlink leads to; a zero Mode when that is nothing, or
// outside of the tree. Directories on the way may be symlinks themselves.
func (b *builder) follow(link place) (place, error) {
	found := place{at: path.Dir(link.at)}
	todo := []string{path.Base(link.at)}
	for links := 0; len(todo) > 0; {
		next := path.Join(found.at, todo[0])
		todo = todo[1:]
		e, err := b.files.Stat(next)
		if err != nil {
			return place{}, nil //nolint:nilerr // a link to nothing, or out of the tree, is left out
		}
		if e.Mode != tree.Symlink {
			found = place{Entry: e, at: next}
			continue
		}
		target, err := b.files.ReadBlob(e.Hash)
		if err != nil {
			return place{}, err
		}
		if links++; links > maxLinks || path.IsAbs(string(target)) {
			return place{}, nil
		}
		todo = append(strings.Split(string(target), "/"), todo...)
	}
	if found.at == "." {
		found.at = "" // as the root is called from the start
	}
	return found, nil
}

// dir makes the node of a directory that shows at name.
func (b *builder) dir(name string, p place, known *node) (*node, error) {
	if known != nil && known.source == p.Hash && !known.linked {
		return known, nil
	}
	b.active[p.at] = true
	defer delete(b.active, p.at)
	places, linked, err := b.list(p.at)
	if err != nil {
		return nil, err
	}
	n := &node{source: p.Hash, linked: linked, dirs: map[string]*node{}}
	for _, child := range places {
		shown := path.Join(name, child.Name)
		if child.Mode != tree.Dir {
			if !b.rules.ignores(shown) {
				n.entries = append(n.entries, child.Entry)
			}
			continue
		}
		below, err := b.dir(shown, child, known.child(child.Name))
		if err != nil {
			return nil, err
		}
		n.linked = n.linked || below.linked
		if len(below.entries) > 0 {
			n.dirs[child.Name] = below
			n.entries = append(n.entries, tree.Entry{Name: child.Name, Mode: tree.Dir, Hash: below.hash})
		}
	}
	n.hash = tree.DirHash(n.entries)
	return n, nil
}

func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	return n.dirs[name]
}

// find returns the entry at a path and, for a directory, its node.
func (v *View) find(name string) (tree.Entry, *node, error) {
	parts, err := tree.Split(name)
	if err != nil {
		return tree.Entry{}, nil, err
	}
	e, at := tree.Entry{Name: ".", Mode: tree.Dir, Hash: v.root.hash}, v.root
	for _, part := range parts {
		if at == nil {
			return tree.Entry{}, nil, fs.ErrNotExist
		}
		i, ok := slices.BinarySearchFunc(at.entries, part, func(e tree.Entry, name string) int {
			return strings.Compare(e.Name, name)
		})
		if !ok {
			return tree.Entry{}, nil, fs.ErrNotExist
		}
		e, at = at.entries[i], at.dirs[part]
	}
	return e, at, nil
}

// Hash implements [tree.Tree].
func (v *View) Hash(name string) (string, error) {
	e, _, err := v.find(name)
	if err == fs.ErrNotExist { //nolint:errorlint // find's own, unwrapped
		return "", nil
	}
	return e.Hash, err
}

// Stat implements [tree.Tree].
func (v *View) Stat(name string) (tree.Entry, error) {
	e, _, err := v.find(name)
	if err != nil {
		return e, &fs.PathError{Op: "open", Path: path.Clean(name), Err: err}
	}
	return e, nil
}

// ReadDir implements [tree.Tree].
func (v *View) ReadDir(name string) ([]tree.Entry, error) {
	_, at, err := v.find(name)
	if err == nil && at == nil {
		err = tree.ErrNotDir
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: path.Clean(name), Err: err}
	}
	return slices.Clone(at.entries), nil
}

// ReadFile implements [tree.Tree].
func (v *View) ReadFile(name string) ([]byte, error) {
	e, at, err := v.find(name)
	if err == nil && at != nil {
		err = tree.ErrIsDir
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path.Clean(name), Err: err}
	}
	return v.files.ReadBlob(e.Hash)
}
