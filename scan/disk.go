package scan

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// disk is the copy of a [Store] that survives a restart:
//
//	<dir>/<hash of image>/<hash of access>.tags   a listing; its mtime is when the
//	                                              registry confirmed it last
//	<dir>/<hash of image>/seen                    the sightings, one a line
//
// Whatever cannot be read counts as lost. A nil disk keeps nothing. No file and
// no name holds a credential, only a digest over it and what it is used for.
type disk struct {
	dir    string
	failed func(error)
}

const (
	listingSuffix = ".tags"
	sightingsName = "seen"
	// maxFile bounds what is read of one file.
	maxFile = 64 << 20
)

func (d *disk) folder(image string) string {
	sum := sha256.Sum256([]byte(image))
	return filepath.Join(d.dir, hex.EncodeToString(sum[:16]))
}

func (d *disk) path(id listingID) string {
	return filepath.Join(d.folder(id.image), id.access+listingSuffix)
}

// report tells of an error other than that there is no such file.
func (d *disk) report(doing string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && d.failed != nil {
		d.failed(fmt.Errorf("%s: %w", doing, err))
	}
}

// listingsOf are the listings of an image.
func (d *disk) listingsOf(image string) []listingID {
	if d == nil {
		return nil
	}
	entries, err := os.ReadDir(d.folder(image))
	d.report("listing the tag cache", err)
	var found []listingID
	for _, entry := range entries {
		if access, ok := strings.CutSuffix(entry.Name(), listingSuffix); ok {
			found = append(found, listingID{image: image, access: access})
		}
	}
	return found
}

func (d *disk) readListing(id listingID) *listing {
	if d == nil {
		return nil
	}
	data, at, err := read(d.path(id))
	if err != nil {
		d.report("reading the tag cache", err)
		return nil
	}
	l, err := decodeListing(data)
	if err != nil || l.id.image != id.image {
		d.report("reading the tag cache", errors.Join(err, errDamaged))
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
	if err := replace(d.path(l.id), encodeListing(l)); err != nil {
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
	d.report("marking the tag cache", os.Chtimes(d.path(l.id), l.at, l.at))
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

// replace writes a file in one step, so that no reader finds half of it.
func replace(path string, data []byte) error {
	file, err := inFolder(path, func() (*os.File, error) { return os.CreateTemp(filepath.Dir(path), ".new-*") })
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// inFolder opens a file, and makes its folder only if it is not there: looking for
// it before every write costs as much as the write.
func inFolder(path string, open func() (*os.File, error)) (*os.File, error) {
	file, err := open()
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return open()
}

// A line of sightings is `<unix seconds> <tag> <digest> <checksum>`. A line that
// was cut off, by a full disk or a crash, has the wrong checksum.
func sightingLine(what sighting, at int64) string {
	text := fmt.Sprintf("%d %s %s", at, what.tag, what.digest)
	return fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

func parseSighting(line string) (what sighting, at int64, ok bool) {
	text, sum, ok := cutLast(line)
	if !ok || sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		return sighting{}, 0, false
	}
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return sighting{}, 0, false
	}
	at, err := strconv.ParseInt(parts[0], 10, 64)
	return sighting{strings.Clone(parts[1]), strings.Clone(parts[2])}, at, err == nil
}

func cutLast(line string) (before, after string, ok bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}

func (d *disk) readSightings(image string, into *album) {
	if d == nil {
		return
	}
	data, _, err := read(filepath.Join(d.folder(image), sightingsName))
	d.report("reading sightings of tags", err)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if what, at, ok := parseSighting(lines.Text()); ok {
			into.note(what, at)
		}
	}
}

func (d *disk) appendSighting(image string, what sighting, at int64) {
	if d == nil {
		return
	}
	d.report("writing sightings of tags", d.append(filepath.Join(d.folder(image), sightingsName), sightingLine(what, at)))
}

func (d *disk) append(path, line string) error {
	file, err := inFolder(path, func() (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	})
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}

func (d *disk) writeSightings(image string, a *album) {
	if d == nil {
		return
	}
	var text strings.Builder
	for what, at := range a.first {
		text.WriteString(sightingLine(what, at))
	}
	d.report("writing sightings of tags", replace(filepath.Join(d.folder(image), sightingsName), []byte(text.String())))
}
