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

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Blobs finds contents by their hashes.
type Blobs interface {
	ReadBlob(hash string) ([]byte, error)
	BlobSize(hash string) (int64, error)
}

// ReadBlob implements [Blobs].
func (v *View) ReadBlob(hash string) ([]byte, error) { return v.files.ReadBlob(hash) }

// BlobSize implements [Blobs].
func (v *View) BlobSize(hash string) (int64, error) { return v.files.BlobSize(hash) }

// OpenView is [Opener.Open] for who puts another artifact together of the files: symbolic links
// are replaced by what they lead to, and those that lead out of the artifact are left out.
func (o *Opener) OpenView(ctx context.Context, namespace string, artifact *meta.Artifact) (*View, error) {
	opened, err := o.Open(ctx, namespace, artifact)
	if err != nil {
		return nil, err
	}
	if view, ok := opened.(*View); ok {
		return view, nil
	}
	files, err := FilesOf(opened)
	if err != nil {
		return nil, err
	}
	return NewView(ctx, All(files), nil, nil, nil)
}

// Assemble makes a tree of files by their paths. Their contents are in the given blobs, of which
// none is read. The paths are clean and relative, and none leads through another one.
func Assemble(files map[string]tree.Entry, blobs ...Blobs) Files {
	a := &assembled{dirs: map[string][]tree.Entry{".": nil}, hashes: map[string]string{}, blobs: blobs}
	for name, file := range files {
		file.Name = path.Base(name)
		a.dirs[path.Dir(name)] = append(a.dirs[path.Dir(name)], file)
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, known := a.hashes[dir]; known {
				break
			}
			a.hashes[dir] = "" // until it is computed
		}
	}
	a.seal(".")
	return a
}

// assembled is a tree of files that lie elsewhere.
type assembled struct {
	dirs   map[string][]tree.Entry // sorted, by path
	hashes map[string]string       // of directories
	blobs  []Blobs
}

// seal computes the hashes of all directories, each after those below it, and sorts them.
func (a *assembled) seal(root string) {
	paths := make([]string, 0, len(a.hashes))
	for dir := range a.hashes {
		paths = append(paths, dir)
	}
	slices.SortFunc(paths, func(x, y string) int { return len(y) - len(x) })
	for _, dir := range append(paths, root) {
		a.hashes[dir] = tree.DirHash(a.dirs[dir])
		slices.SortFunc(a.dirs[dir], func(x, y tree.Entry) int { return strings.Compare(x.Name, y.Name) })
		if dir != root {
			above := path.Dir(dir)
			a.dirs[above] = append(a.dirs[above], tree.Entry{Name: path.Base(dir), Mode: tree.Dir, Hash: a.hashes[dir]})
		}
	}
}

// Hash implements [tree.Tree].
func (a *assembled) Hash(name string) (string, error) {
	e, err := a.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return e.Hash, err
}

// Stat implements [tree.Tree].
func (a *assembled) Stat(name string) (tree.Entry, error) {
	parts, err := tree.Split(name)
	if err != nil {
		return tree.Entry{}, err
	}
	if len(parts) == 0 {
		return tree.Entry{Name: ".", Mode: tree.Dir, Hash: a.hashes["."]}, nil
	}
	in := a.dirs[path.Join(".", path.Join(parts[:len(parts)-1]...))]
	i, ok := slices.BinarySearchFunc(in, parts[len(parts)-1], func(e tree.Entry, name string) int { return strings.Compare(e.Name, name) })
	if !ok {
		return tree.Entry{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return in[i], nil
}

// ReadDir implements [tree.Tree].
func (a *assembled) ReadDir(name string) ([]tree.Entry, error) {
	e, err := a.Stat(name)
	if err == nil && e.Mode != tree.Dir {
		err = &fs.PathError{Op: "readdir", Path: name, Err: tree.ErrNotDir}
	}
	if err != nil {
		return nil, err
	}
	parts, _ := tree.Split(name) // Stat has done it
	return slices.Clone(a.dirs[path.Join(".", path.Join(parts...))]), nil
}

// ReadFile implements [tree.Tree].
func (a *assembled) ReadFile(name string) ([]byte, error) {
	e, err := a.Stat(name)
	if err == nil && e.Mode == tree.Dir {
		err = &fs.PathError{Op: "read", Path: name, Err: tree.ErrIsDir}
	}
	if err != nil {
		return nil, err
	}
	return a.ReadBlob(e.Hash)
}

// ReadBlob implements [Files].
func (a *assembled) ReadBlob(hash string) ([]byte, error) {
	return anyOf(a.blobs, func(b Blobs) ([]byte, error) { return b.ReadBlob(hash) })
}

// BlobSize implements [Files].
func (a *assembled) BlobSize(hash string) (int64, error) {
	return anyOf(a.blobs, func(b Blobs) (int64, error) { return b.BlobSize(hash) })
}

// held is what the trees that it is made of have in memory.
func (a *assembled) held() int64 {
	var sum int64
	for _, blobs := range a.blobs {
		switch b := blobs.(type) {
		case *View:
			sum += b.held
		case interface{ held() int64 }:
			sum += b.held()
		}
	}
	return sum
}

// BlobMap is contents in memory, by their hashes.
type BlobMap map[string][]byte

// ReadBlob implements [Blobs].
func (m BlobMap) ReadBlob(hash string) ([]byte, error) {
	if data, ok := m[hash]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("reading blob %s: %w", hash, fs.ErrNotExist)
}

// BlobSize implements [Blobs].
func (m BlobMap) BlobSize(hash string) (int64, error) {
	data, err := m.ReadBlob(hash)
	return int64(len(data)), err
}

func (m BlobMap) held() int64 {
	var sum int64
	for _, data := range m {
		sum += int64(len(data))
	}
	return sum
}
