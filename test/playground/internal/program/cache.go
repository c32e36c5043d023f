// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// needed is the disk space below which no build is tried: Kubernetes leaves
// about three times this in Go's own build cache and in temporary files.
const needed = 1 << 30

// Cache is the folder of built programs.
type Cache struct {
	Dir      string
	Source   fs.FS // the embedded sources
	Progress Progress
}

// DefaultDir is the cache of this user.
func DefaultDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache folder: %w", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "sluice", "playground"), nil
}

// Ensure returns the path of the built program, and builds it if need be.
func (c *Cache) Ensure(ctx context.Context, p Program) (string, error) {
	key, err := p.key(c.Source)
	if err != nil {
		return "", fmt.Errorf("reading the sources of %s: %w", p.Name, err)
	}
	binary := filepath.Join(c.Dir, key, p.Name)
	if exists(binary) {
		return binary, nil
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	unlock, err := c.lock(key)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(binary) { // built while this one waited
		return binary, nil
	}
	if err := enoughSpace(c.Dir); err != nil {
		return "", err
	}
	if err := c.build(ctx, p, key); err != nil {
		return "", fmt.Errorf("building %s %s: %w", p.Name, p.Version, err)
	}
	return binary, nil
}

// lock makes others wait who want to build the same.
func (c *Cache) lock(key string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.Dir, key+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintf(c.Progress, "waiting for another build of %s\n", key)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	return func() { f.Close() }, nil
}

// build compiles in a temporary folder beside the final one, and renames it.
func (c *Cache) build(ctx context.Context, p Program, key string) error {
	tmp, err := os.MkdirTemp(c.Dir, "building-"+p.Name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	src, out := filepath.Join(tmp, "src"), filepath.Join(tmp, "out")
	if err := c.extract(p, src); err != nil {
		return fmt.Errorf("writing sources: %w", err)
	}
	if err := c.compile(ctx, p, src, filepath.Join(out, p.Name)); err != nil {
		return err
	}
	if err := os.Chmod(out, 0o755); err != nil {
		return err
	}
	return os.Rename(out, filepath.Join(c.Dir, key))
}

// extract writes the program's sources to dir as a module.
func (c *Cache) extract(p Program, dir string) error {
	files, err := p.files(c.Source)
	if err != nil {
		return err
	}
	for _, name := range files {
		data, err := fs.ReadFile(c.Source, name)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		switch name {
		case p.Module + ".mod", p.Module + ".sum":
			target = filepath.Join(dir, "go"+path.Ext(name))
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func enoughSpace(dir string) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("asking for disk space: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < needed {
		return fmt.Errorf("only %d MiB are free on the disk of %s: a build needs at least %d", free>>20, dir, needed>>20)
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
