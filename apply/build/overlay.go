package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/api/konfig"
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

// overlay shows a tree, and one file that is not in it, to kustomize. It
// records what is asked of the tree, and refuses kustomization files that would
// make kustomize reach beyond it.
type overlay struct {
	tree  tree.Tree
	files map[string][]byte
	reads Reads
	// ownSchema allows `openapi:`, for builds that run alone.
	ownSchema bool
	// refused is the first refusal; kustomize wraps errors beyond recognition.
	refused error
}

func newOverlay(t tree.Tree) *overlay {
	return &overlay{tree: t, files: map[string][]byte{}, reads: Reads{}}
}

// put lays a file over the tree.
func (o *overlay) put(name string, content []byte) { o.files[path.Clean(name)] = content }

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

// entry looks a path up and records that it was looked for.
func (o *overlay) entry(name string) (tree.Entry, string, error) {
	inside, err := inTree(name)
	if err != nil {
		return tree.Entry{}, "", err
	}
	e, err := look(o.tree, inside)
	if err != nil {
		return tree.Entry{}, "", err
	}
	o.reads.probe(inside, e)
	return e, inside, nil
}

// Exists implements filesys.FileSystem.
func (o *overlay) Exists(name string) bool {
	if _, ok := o.files[path.Clean(name)]; ok {
		return true
	}
	e, _, err := o.entry(name)
	return err == nil && kindOf(e) != absent
}

// IsDir implements filesys.FileSystem.
func (o *overlay) IsDir(name string) bool {
	if _, ok := o.files[path.Clean(name)]; ok {
		return false
	}
	e, _, err := o.entry(name)
	return err == nil && e.Mode == tree.Dir
}

// ReadFile implements filesys.FileSystem.
func (o *overlay) ReadFile(name string) ([]byte, error) {
	data, err := o.content(name)
	if err == nil && slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) {
		if err = o.vet(data); err != nil {
			o.refused = errors.Join(o.refused, fmt.Errorf("%s: %w", strings.TrimPrefix(name, mount+"/"), err))
		}
	}
	return data, err
}

func (o *overlay) content(name string) ([]byte, error) {
	if data, ok := o.files[path.Clean(name)]; ok {
		return data, nil
	}
	e, inside, err := o.entry(name)
	switch {
	case err != nil:
		return nil, err
	case kindOf(e) == absent:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case e.Mode == tree.Dir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
	}
	o.reads.read(inside, e)
	return o.tree.ReadFile(inside)
}

// list returns a directory's entries; the build then depends on all of it.
func (o *overlay) list(name string) ([]tree.Entry, error) {
	e, inside, err := o.entry(name)
	if err != nil {
		return nil, err
	}
	o.reads.read(inside, e)
	entries, err := o.tree.ReadDir(inside)
	return slices.DeleteFunc(slices.Clone(entries), func(e tree.Entry) bool { return kindOf(e) == absent }), err
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

// CleanedAbs implements filesys.FileSystem.
func (o *overlay) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	name = path.Clean(name)
	if !path.IsAbs(name) {
		name = path.Join(mount, name)
	}
	switch {
	case o.IsDir(name):
		return filesys.ConfirmedDir(name), "", nil
	case o.Exists(name):
		return filesys.ConfirmedDir(path.Dir(name)), path.Base(name), nil
	}
	if _, err := inTree(name); err != nil {
		return "", "", err
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
	e, _, err := o.entry(root)
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
