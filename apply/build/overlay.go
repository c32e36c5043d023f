package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
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

// overlay shows a tree, and one file that is not in it, to kustomize. It records
// what is asked of the tree, and hands out kustomization files only as they are
// when they have been vetted.
type overlay struct {
	// ctx ends the build: nothing can be read after. Kustomize takes none, so it is
	// kept for the one build that the overlay is for; nil never ends.
	ctx    context.Context
	tree   tree.Tree
	bounds Bounds
	mem    memory
	files  map[string][]byte
	reads  Reads
	// vetted are the kustomization files by their path.
	vetted map[string]*kustomization
	// weights are those of files that are decoded; they are looked at once, however
	// often they are read. Opaque files are data for generators.
	weights map[string]weight
	opaque  map[string]bool
	// sealed are the files that are encrypted.
	sealed map[string][]byte
	// refused is the first refusal; kustomize wraps errors beyond recognition.
	refused error
}

// kustomization is a vetted kustomization file.
type kustomization struct {
	*kustypes.Kustomization        // nil when kustomize will not decode it
	data                    []byte // rewritten
	loads                   []load
	err                     error
}

func newOverlay(ctx context.Context, t tree.Tree, bounds Bounds, mem memory) *overlay {
	return &overlay{
		ctx: ctx, tree: t, bounds: bounds, mem: mem, files: map[string][]byte{}, reads: Reads{},
		vetted: map[string]*kustomization{}, weights: map[string]weight{},
		opaque: map[string]bool{}, sealed: map[string][]byte{},
	}
}

// refuse keeps the first refusal.
func (o *overlay) refuse(err error) error {
	if o.refused == nil {
		o.refused = err
	}
	return err
}

// reason is why a build failed: the first refusal, if there was any.
func (o *overlay) reason(err error) error {
	if err != nil && o.refused != nil {
		return o.refused
	}
	return err
}

// ended says why the build may read nothing more.
func (o *overlay) ended() error {
	if o.ctx == nil {
		return nil
	}
	if err := context.Cause(o.ctx); err != nil {
		return o.refuse(err)
	}
	return nil
}

// put lays a file over the tree.
func (o *overlay) put(name string, content []byte) {
	name = path.Clean(name)
	o.files[name] = content
	delete(o.vetted, name)
	delete(o.weights, name)
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

// entry looks a path up and records that it was looked for. It returns where in
// the tree it really is.
func (o *overlay) entry(name string) (e tree.Entry, asked, real string, err error) {
	asked, err = inTree(name)
	if err != nil {
		return tree.Entry{}, "", "", err
	}
	if err := o.ended(); err != nil {
		return tree.Entry{}, "", "", err
	}
	e, real, err = look(o.tree, asked)
	if err != nil {
		return tree.Entry{}, "", "", o.refuse(err)
	}
	o.reads.probe(asked, e)
	return e, asked, real, nil
}

// Exists implements filesys.FileSystem.
func (o *overlay) Exists(name string) bool {
	if _, ok := o.files[path.Clean(name)]; ok {
		return true
	}
	e, _, _, err := o.entry(name)
	return err == nil && kindOf(e) != absent
}

// IsDir implements filesys.FileSystem.
func (o *overlay) IsDir(name string) bool {
	if _, ok := o.files[path.Clean(name)]; ok {
		return false
	}
	e, _, _, err := o.entry(name)
	return err == nil && e.Mode == tree.Dir
}

// ReadFile implements filesys.FileSystem.
func (o *overlay) ReadFile(name string) ([]byte, error) {
	if slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) {
		k, err := o.kustomization(name)
		if err != nil {
			return nil, err
		}
		return k.data, nil
	}
	data, err := o.content(name)
	if err != nil {
		return nil, err
	}
	if !o.opaque[path.Clean(name)] { // nothing is decoded that was not measured
		if _, err := o.weighFile(name, data); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// kustomization returns a kustomization file as kustomize may see it.
func (o *overlay) kustomization(name string) (*kustomization, error) {
	name = path.Clean(name)
	if k, ok := o.vetted[name]; ok {
		return k, k.err
	}
	data, err := o.content(name)
	if err != nil {
		return nil, err
	}
	k := &kustomization{}
	v := &vetter{o: o, dir: path.Dir(name)}
	if _, k.err = o.weighFile(name, data); k.err == nil {
		k.Kustomization, k.data, k.err = v.kustomization(data)
	}
	k.loads = v.loads
	if k.err != nil {
		k.err = o.refuse(fmt.Errorf("%s: %w", name, k.err))
	}
	o.vetted[name] = k
	return k, k.err
}

// weigh looks at a document.
func (o *overlay) weigh(data []byte) (weight, error) {
	w, err := o.bounds.weigh(data, o.mem)
	if err != nil {
		return w, o.refuse(err)
	}
	return w, nil
}

// weighFile looks at a file that is decoded, once.
func (o *overlay) weighFile(name string, data []byte) (weight, error) {
	name = path.Clean(name)
	if w, ok := o.weights[name]; ok {
		return w, nil
	}
	w, err := o.bounds.weigh(data, o.mem)
	if err != nil {
		return w, o.refuse(fmt.Errorf("%s: %w", name, err))
	}
	o.weights[name] = w
	return w, nil
}

func (o *overlay) content(name string) ([]byte, error) {
	if data, ok := o.files[path.Clean(name)]; ok {
		return data, nil
	}
	e, asked, real, err := o.entry(name)
	switch {
	case err != nil:
		return nil, err
	case kindOf(e) == absent:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case e.Mode == tree.Dir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
	}
	o.reads.read(asked, e)
	data, err := o.tree.ReadFile(real)
	if err == nil && isSealed(data) {
		o.sealed[asked] = data
	}
	return data, err
}

// list returns a directory's entries; the build then depends on all of it. Links
// are left out: see links.
func (o *overlay) list(name string) ([]tree.Entry, error) {
	e, asked, real, err := o.entry(name)
	if err != nil {
		return nil, err
	}
	o.reads.read(asked, e)
	entries, err := o.tree.ReadDir(real)
	return slices.DeleteFunc(slices.Clone(entries), func(e tree.Entry) bool { return kindOf(e) == absent }), err
}

// links returns the paths of the links in a directory whose names match.
func (o *overlay) links(dir string, match func(string) bool) ([]string, error) {
	_, _, real, err := o.entry(dir)
	if err != nil {
		return nil, err
	}
	entries, err := o.tree.ReadDir(real)
	var found []string
	for _, e := range entries {
		if e.Mode == tree.Symlink && match(e.Name) {
			found = append(found, path.Join(dir, e.Name))
		}
	}
	return found, err
}

// ReadDir implements filesys.FileSystem.
func (o *overlay) ReadDir(name string) ([]string, error) {
	entries, err := o.list(name)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
}

// CleanedAbs implements filesys.FileSystem. As on a disk, it says where a path leads
// to, so that "../" in a directory behind a link starts at the directory.
func (o *overlay) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	name = path.Clean(name)
	if !path.IsAbs(name) {
		name = path.Join(mount, name)
	}
	if _, ok := o.files[name]; ok {
		return filesys.ConfirmedDir(path.Dir(name)), path.Base(name), nil
	}
	e, _, real, err := o.entry(name)
	real = path.Join(mount, real)
	switch {
	case err != nil:
		return "", "", err
	case e.Mode == tree.Dir:
		return filesys.ConfirmedDir(real), "", nil
	case kindOf(e) != absent:
		return filesys.ConfirmedDir(path.Dir(real)), path.Base(real), nil
	}
	return "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Open implements filesys.FileSystem.
func (o *overlay) Open(name string) (filesys.File, error) {
	data, err := o.ReadFile(name)
	if err != nil {
		return nil, err
	}
	memory := filesys.MakeFsInMemory()
	if err := memory.WriteFile(name, data); err != nil {
		return nil, err
	}
	return memory.Open(name)
}

// Glob implements filesys.FileSystem for patterns within one directory, which
// is all that the path package can match without walking.
func (o *overlay) Glob(pattern string) ([]string, error) {
	dir, base := path.Split(pattern)
	names, err := o.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		ok, err := path.Match(base, name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, path.Join(dir, name))
		}
	}
	return found, nil
}

// Walk implements filesys.FileSystem.
func (o *overlay) Walk(root string, visit filepath.WalkFunc) error {
	e, _, _, err := o.entry(root)
	if err == nil && kindOf(e) == absent {
		err = &fs.PathError{Op: "walk", Path: root, Err: fs.ErrNotExist}
	}
	if err != nil {
		return visit(root, nil, err)
	}
	if err := o.walk(path.Clean(root), e, visit); !errors.Is(err, fs.SkipDir) && !errors.Is(err, fs.SkipAll) {
		return err
	}
	return nil
}

func (o *overlay) walk(name string, e tree.Entry, visit filepath.WalkFunc) error {
	if err := visit(name, info{e}, nil); err != nil || e.Mode != tree.Dir {
		return err
	}
	entries, err := o.list(name)
	if err != nil {
		return visit(name, info{e}, err)
	}
	for _, child := range entries {
		err := o.walk(path.Join(name, child.Name), child, visit)
		if errors.Is(err, fs.SkipDir) && child.Mode == tree.Dir {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Create implements filesys.FileSystem.
func (o *overlay) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem.
func (o *overlay) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem.
func (o *overlay) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem.
func (o *overlay) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem.
func (o *overlay) WriteFile(string, []byte) error { return errReadOnly }

// info is a tree entry as os.FileInfo.
type info struct{ tree.Entry }

func (i info) Name() string { return i.Entry.Name }
func (i info) Size() int64  { return 0 }
func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.Entry.Mode == tree.Dir }
func (i info) Sys() any           { return nil }
