// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-cd/sluice/internal/registry"
)

// disk is the copy of a [Store] that survives a restart:
//
//	<dir>/<hash of image>.<hash of access>.tags   a listing; its mtime is when the
//	                                              registry confirmed it last
//	<dir>/<hash of image>.seen                    the first-seen entries, one a line
//
// Whatever cannot be read counts as lost. A nil disk keeps nothing. No file and
// no name holds a credential, only a digest over it and what it is used for. There
// is one folder for all: to make one for each image would cost more than its scan.
type disk struct {
	dir    string
	failed func(error)

	mu    sync.Mutex
	there map[string][]string // names of files by hash of image; nil before the first look
}

const (
	listingSuffix = ".tags"
	seenSuffix    = ".seen"
	// newPrefix is that of files that are not complete yet.
	newPrefix = ".new-"
	// maxFile bounds what is read of one file.
	maxFile = 64 << 20
)

// hashOf stands for an image in names of files.
func hashOf(image string) string {
	sum := sha256.Sum256([]byte(image))
	return hex.EncodeToString(sum[:16])
}

func nameOf(id registry.ID) string { return hashOf(id.Image) + "." + id.Access + listingSuffix }

func seenFileOf(image string) string { return hashOf(image) + seenSuffix }

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// files are the names of what is there, by hash of image. The folder is looked at
// once, so that an image that is new costs no look for what it left behind. The
// lock is held.
func (d *disk) files() map[string][]string {
	if d.there == nil {
		d.there = map[string][]string{}
		entries, err := os.ReadDir(d.dir)
		d.report("listing the tag cache", err)
		for _, entry := range entries {
			hash, _, _ := strings.Cut(entry.Name(), ".")
			d.there[hash] = append(d.there[hash], entry.Name())
		}
	}
	return d.there
}

// filesOf are the names of the files of an image.
func (d *disk) filesOf(image string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.files()[hashOf(image)])
}

// has reports whether a file is there.
func (d *disk) has(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash, _, _ := strings.Cut(name, ".")
	return slices.Contains(d.files()[hash], name)
}

// note notes that a file is there.
func (d *disk) note(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash, _, _ := strings.Cut(name, ".")
	if names := d.files()[hash]; !slices.Contains(names, name) {
		d.there[hash] = append(names, name)
	}
}

// report tells of an error other than that there is no such file.
func (d *disk) report(doing string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && d.failed != nil {
		d.failed(fmt.Errorf("%s: %w", doing, err))
	}
}

// forget takes a file that is of no use for one that is not there.
func (d *disk) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash, _, _ := strings.Cut(name, ".")
	d.there[hash] = slices.DeleteFunc(d.files()[hash], func(known string) bool { return known == name })
}

// listingsOf are the listings of an image.
func (d *disk) listingsOf(image string) []registry.ID {
	if d == nil {
		return nil
	}
	var found []registry.ID
	for _, name := range d.filesOf(image) {
		if _, rest, _ := strings.Cut(name, "."); strings.HasSuffix(rest, listingSuffix) {
			found = append(found, registry.ID{Image: image, Access: strings.TrimSuffix(rest, listingSuffix)})
		}
	}
	return found
}

func (d *disk) readListing(id registry.ID) *listing {
	if d == nil || !d.has(nameOf(id)) {
		return nil
	}
	data, at, err := read(d.path(nameOf(id)))
	if err != nil {
		d.report("reading the tag cache", err)
		return nil
	}
	l, err := decodeListing(data)
	if err == nil && l.id.Image != id.Image {
		err = errDamaged
	}
	if err != nil {
		d.report("reading the tag cache", err)
		d.forget(nameOf(id))
		return nil
	}
	l.id = id
	if at.After(l.at) {
		l.at = at
	}
	return l
}

func (d *disk) writeListing(l *listing) {
	if d == nil {
		return
	}
	if err := d.write(nameOf(l.id), encodeListing(l)); err != nil {
		d.report("writing the tag cache", err)
		return
	}
	d.touch(l)
}

// touch notes that a listing was confirmed, which writes no content.
func (d *disk) touch(l *listing) {
	if d == nil {
		return
	}
	d.report("marking the tag cache", os.Chtimes(d.path(nameOf(l.id)), l.at, l.at))
}

// write writes a file in one step, so that a crash leaves the old one or the new
// one. What is not there yet needs no such care: half of it counts as nothing.
func (d *disk) write(name string, data []byte) error {
	open := func() (*os.File, error) { return os.CreateTemp(d.dir, newPrefix+"*") }
	if !d.has(name) {
		open = func() (*os.File, error) {
			return os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		}
	}
	file, err := d.open(open)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil && file.Name() != d.path(name) {
		err = os.Rename(file.Name(), d.path(name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	d.note(name)
	return nil
}

// open opens a file, and makes the folder only if it is not there: looking for it
// before every write costs as much as the write.
func (d *disk) open(file func() (*os.File, error)) (*os.File, error) {
	opened, err := file()
	if !errors.Is(err, fs.ErrNotExist) {
		return opened, err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	return file()
}

// read returns the content of a file and when it was modified.
func read(path string) ([]byte, time.Time, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	return data, info.ModTime(), err
}
