// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// Directory is a local directory to plan on. It follows no symlinks and reads
// nothing outside of the directory; what is neither a file nor a directory, and
// Git's own .git, it does not have.
type Directory struct{ root *os.Root }

// OpenDirectory opens a local directory. Close it when it is no longer needed.
func OpenDirectory(name string) (*Directory, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("opening directory %s: %w", name, err)
	}
	return &Directory{root: root}, nil
}

// Close lets go of the directory.
func (d *Directory) Close() error { return d.root.Close() }

// Stat implements [Files]. A path that runs through a symlink does not exist.
func (d *Directory) Stat(name string) (tree.Entry, error) {
	parts, err := tree.Split(name)
	if err != nil {
		return tree.Entry{}, err
	}
	at := tree.Entry{Name: ".", Mode: tree.Dir}
	for i, part := range parts {
		if at.Mode != tree.Dir {
			return tree.Entry{}, &fs.PathError{Op: "open", Path: name, Err: tree.ErrNotDir}
		}
		info, err := d.root.Lstat(path.Join(parts[:i+1]...))
		if err != nil {
			return tree.Entry{}, err
		}
		at = tree.Entry{Name: part, Mode: modeOf(info.Mode())}
	}
	return at, nil
}

// ReadDir implements [Files].
func (d *Directory) ReadDir(name string) ([]tree.Entry, error) {
	if err := d.expect(name, tree.Dir); err != nil {
		return nil, err
	}
	dir, err := d.root.Open(path.Clean(name))
	if err != nil {
		return nil, err
	}
	listed, err := dir.ReadDir(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	var entries []tree.Entry
	for _, e := range listed {
		if mode := modeOf(e.Type()); mode != 0 && e.Name() != ".git" {
			entries = append(entries, tree.Entry{Name: e.Name(), Mode: mode})
		}
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// ReadFile implements [Files]. The content of a symlink is its target, as in Git.
func (d *Directory) ReadFile(name string) ([]byte, error) {
	at, err := d.Stat(name)
	if err == nil && at.Mode == tree.Symlink {
		target, err := d.root.Readlink(path.Clean(name))
		return []byte(filepath.ToSlash(target)), err
	}
	if err := d.expect(name, tree.File); err != nil {
		return nil, err
	}
	file, err := d.root.Open(path.Clean(name))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxRead))
	return content, errors.Join(err, file.Close())
}

// maxRead bounds what of a file is read. It only has to be more than a file may
// have to be edited.
const maxRead = 8 * edit.MaxSize

// WriteFile replaces the content of a file that is there, and keeps its mode. Who
// reads it meanwhile sees the old content or the new, and so does everyone after
// a crash: the new one is written beside it and takes its name.
func (d *Directory) WriteFile(name string, content []byte) error {
	if err := d.expect(name, tree.File); err != nil {
		return err
	}
	name = path.Clean(name)
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	beside := path.Join(path.Dir(name), fmt.Sprintf(".%s.%d.tmp", path.Base(name), os.Getpid()))
	if err := d.create(beside, content, info.Mode().Perm()); err != nil {
		return errors.Join(err, d.root.Remove(beside))
	}
	if err := d.root.Rename(beside, name); err != nil {
		return errors.Join(err, d.root.Remove(beside))
	}
	return nil
}

// create writes a new file. The mode is set once more: the process may have a
// mask.
func (d *Directory) create(name string, content []byte, mode fs.FileMode) error {
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
}

func (d *Directory) expect(name string, want tree.Mode) error {
	at, err := d.Stat(name)
	if err == nil && at.Mode != want {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return err
}

func modeOf(mode fs.FileMode) tree.Mode {
	switch {
	case mode.IsDir():
		return tree.Dir
	case mode.IsRegular():
		return tree.File
	case mode&fs.ModeSymlink != 0:
		return tree.Symlink
	}
	return 0
}
