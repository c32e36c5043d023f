// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sluice-cd/sluice/internal/tree"
)

// overlay shows the files of a source to kustomize, and hands out kustomization files
// only as they are when they have been vetted.
type overlay struct {
	*source
	*decodeLimiter
	*refusal
	// vetted are the kustomization files by their path.
	vetted map[string]*kustomization
	// decrypt is that of the spec; nil decrypts nothing. plain are the files that it has
	// decrypted, by their path.
	decrypt Decrypt
	masks   bool // see Spec
	plain   map[string][]byte
	// manifests are the files that resources come from, as often as they are used.
	manifests []string
	// warnings are about the kustomization file of the spec's path.
	warnings []Warning
}

// kustomization is a vetted kustomization file.
type kustomization struct {
	*kustypes.Kustomization        // nil when kustomize will not decode it
	name                    string // its path
	data                    []byte // rewritten
	loads                   []fileReference
	err                     error
}

func newOverlay(ctx context.Context, t tree.Tree, bounds Bounds, mem memoryBudget) *overlay {
	refused := &refusal{}
	o := &overlay{
		source: &source{
			remotes: remotes{known: map[remoteKey]string{}},
			refused: refused, own: &mounted{tree: t, symlinks: linksOf(t), at: mount},
			files: map[string][]byte{}, reads: Reads{}, sealed: map[string][]byte{},
		},
		decodeLimiter: &decodeLimiter{refused: refused, bounds: bounds, mem: mem, weights: map[string]weight{}, opaque: map[string]bool{}},
		refusal:       refused,
		vetted:        map[string]*kustomization{},
		plain:         map[string][]byte{},
	}
	if ctx != nil {
		o.end = func() error { return context.Cause(ctx) }
	}
	return o
}

// write lays a file over the tree.
func (o *overlay) write(name string, content []byte) {
	name = path.Clean(name)
	o.files[name] = content
	delete(o.vetted, name)
	delete(o.weights, name)
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
	data, err := o.file(name)
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
	k := &kustomization{name: name}
	v := &referenceRewriter{o: o, dir: path.Dir(name)}
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

// ReadDir implements filesys.FileSystem.
func (o *overlay) ReadDir(name string) ([]string, error) {
	entries, err := o.list(name)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
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
	found, err := o.entry(root)
	if err == nil && kindOf(found.Entry) == absent {
		err = &fs.PathError{Op: "walk", Path: root, Err: fs.ErrNotExist}
	}
	if err != nil {
		return visit(root, nil, err)
	}
	if err := o.walk(path.Clean(root), found.Entry, visit); !errors.Is(err, fs.SkipDir) && !errors.Is(err, fs.SkipAll) {
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
