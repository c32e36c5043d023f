// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Files is a tree that also finds content by hash, as a commit in a mirror does.
type Files interface {
	tree.Tree
	ReadBlob(hash string) ([]byte, error)
	// BlobSize is how long the content is, without reading it.
	BlobSize(hash string) (int64, error)
}

// View is what of a tree belongs into an artifact. It is a tree itself, of
// regular files only, and safe for concurrent use.
type View struct {
	files Files
	rules *rules
	root  *node
	// size is how many entries it has, those that are there twice counted twice, and as
	// many more as would take what its files hold of memory.
	size int
	// held is what its files hold of memory, in bytes: nothing, if a mirror has them.
	held int64
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
	extent
}

// extent is the size of a directory in a view, with all that is below it and with symbolic links followed.
type extent struct {
	// entries that were listed, ignored ones too.
	listed int
	// bytes of the paths of its files, from the root.
	paths int64
}

func (e *extent) add(below extent) {
	e.listed += below.listed
	e.paths += below.paths
}

// What a tree may make of itself: symlinks can make a small one endlessly large.
const (
	maxViewFiles = 500_000
	// maxPath is what Linux allows, where artifacts are unpacked.
	maxPath = 4096
	// maxPaths bounds the paths of all files of a view, in bytes: directories that are all
	// the same nest in a few objects, and each of their files has a path of its own.
	maxPaths = 64 << 20
	// maxNames bounds the names that are looked up on the way along symlinks.
	maxNames = 2_000_000
	// entryMemory is what an entry takes while a view is made, and after.
	entryMemory = 256
)

// NewView applies the ignore rules of a source: spec.ignore, which may be nil,
// and the .sourceignore files in the tree. What did not change since the view
// before, which may be nil, is taken over from it. What the view takes of memory
// is added to the grant, which may be nil too.
func NewView(ctx context.Context, files Files, ignore *string, before *View, memory *budget.Grant) (*View, error) {
	b := &builder{ended: ctx.Err, files: files, memory: memory, active: map[string]bool{},
		links: tree.Links{In: files, Names: maxNames, Stopped: ctx.Err}, linkTargets: map[[2]string]resolvedEntry{}}
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
	b.spent = extent{} // by the rules, for which all was listed already
	root, err := b.dir("", resolvedEntry{Entry: top}, known)
	if err != nil {
		return nil, fmt.Errorf("listing files: %w", err)
	}
	v := &View{files: files, rules: rules, root: root, size: root.listed}
	if in, ok := files.(interface{ held() int64 }); ok {
		v.held = in.held()
		v.size += int(v.held / entryBytes)
	}
	return v, nil
}

// builder makes the nodes of a view.
type builder struct {
	ended  func() error // why nobody waits any more, or nil
	files  Files
	rules  *rules
	memory *budget.Grant
	spent  extent
	// compared is what the rules have cost.
	compared comparisonCost
	links    tree.Links
	active   map[string]bool // directories that are being listed
	// linkTargets is where symlinks lead, by the directory that they lie in and the
	// hash of their target: thousands may share one.
	linkTargets map[[2]string]resolvedEntry
}

// resolvedEntry is an entry and where in the tree it really lies, which behind a symlink
// is not where it shows. Empty is in the directory that was listed: its entries would
// hold a long path each.
type resolvedEntry struct {
	tree.Entry
	path string
}

// pathIn is where the entry lies that a directory was listed with.
func (l resolvedEntry) pathIn(dir string) string {
	if l.path != "" {
		return l.path
	}
	return path.Join(dir, l.Name)
}

// spend adds the size of a directory to that of the view, and refuses a view that is too large.
func (b *builder) spend(more extent) error {
	b.spent.add(more)
	switch {
	case b.spent.listed > maxViewFiles:
		return fmt.Errorf("%w: more than %d files, symlinks followed", tree.ErrTooLarge, maxViewFiles)
	case b.spent.paths > maxPaths:
		return fmt.Errorf("%w: the paths of its files have more than %d bytes: leave files out by spec.ignore or a .sourceignore",
			tree.ErrTooLarge, maxPaths)
	}
	return nil
}

// list returns a directory's files and directories, symlinks followed, and
// whether there were any.
func (b *builder) list(at string) (places []resolvedEntry, linked bool, err error) {
	entries, err := b.files.ReadDir(at)
	if err != nil {
		return nil, false, err
	}
	if err := b.spend(extent{listed: len(entries)}); err != nil {
		return nil, false, err
	}
	if err := b.memory.Grow(int64(len(entries)) * entryMemory); err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if err := b.ended(); err != nil {
			return nil, false, err
		}
		p := resolvedEntry{Entry: e}
		if e.Mode == tree.Symlink {
			linked = true
			if p, err = b.follow(at, e); err != nil {
				return nil, false, err
			}
			p.Name = e.Name
		}
		if p.Mode.IsFile() || p.Mode == tree.Dir && !b.active[p.pathIn(at)] {
			places = append(places, p)
		}
	}
	return places, linked, nil
}

// follow returns what a symlink in a directory leads to; a zero Mode when that is
// nothing, or outside of the tree. Directories on the way may be symlinks themselves.
func (b *builder) follow(dir string, link tree.Entry) (resolvedEntry, error) {
	key := [2]string{dir, link.Hash}
	if known, ok := b.linkTargets[key]; ok {
		return known, nil
	}
	found, err := b.resolve(path.Join(dir, link.Name))
	if err == nil {
		err = b.memory.Grow(entryMemory + int64(len(found.path)))
	}
	if err == nil {
		b.linkTargets[key] = found
	}
	return found, err
}

func (b *builder) resolve(link string) (resolvedEntry, error) {
	found, err := b.links.Follow(link)
	switch {
	case tree.LeadsNowhere(err): // what leads to nothing, or out of the tree, is left out
		return resolvedEntry{}, nil
	case errors.Is(err, tree.ErrTooManyNames):
		return resolvedEntry{}, fmt.Errorf("%w: %w: more than %d", tree.ErrTooLarge, err, maxNames)
	case err != nil:
		return resolvedEntry{}, err
	case found.Path == ".":
		return resolvedEntry{}, nil // the root does not show in itself
	}
	return resolvedEntry{Entry: found.Entry, path: found.Path}, nil
}

// dir makes the node of a directory that shows at name.
func (b *builder) dir(name string, p resolvedEntry, known *node) (*node, error) {
	if known != nil && known.source == p.Hash && !known.linked {
		return known, b.spend(known.extent)
	}
	if len(name) > maxPath {
		return nil, fmt.Errorf("%w: a path of more than %d bytes", tree.ErrTooLarge, maxPath)
	}
	b.active[p.path] = true
	defer delete(b.active, p.path)
	before := b.spent
	places, linked, err := b.list(p.path)
	if err != nil {
		return nil, err
	}
	n := &node{source: p.Hash, linked: linked, dirs: map[string]*node{}}
	for _, child := range places {
		shown := path.Join(name, child.Name)
		if child.Mode != tree.Dir {
			ignored, err := b.ignores(shown)
			if err != nil {
				return nil, err
			}
			if ignored {
				continue
			}
			if err := b.spend(extent{paths: int64(len(shown))}); err != nil {
				return nil, err
			}
			n.entries = append(n.entries, child.Entry)
			continue
		}
		child.path = child.pathIn(p.path)
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
	n.extent = extent{listed: b.spent.listed - before.listed, paths: b.spent.paths - before.paths}
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
