// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/gzip"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// An archive is a sequence of gzip members, which gzip, tar and Go read as one
// stream. Each holds some files in a row, and its bytes depend on these files
// alone; so the archive of the next commit is the one before with the members
// copied whose files did not change.
//
// Where a member ends is decided by the names of the files, so that an added
// file moves no border but its own.

// member is a piece of an archive file.
type member struct {
	// Key is a digest of the files' paths, modes and hashes.
	Key    string `json:"key"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	// CRC is of the compressed bytes: a damaged archive must not pass its damage
	// on to its successors, whose digests would vouch for it.
	CRC uint32 `json:"crc"`
}

// item is one file to archive.
type item struct {
	path string
	tree.Entry
}

// itemMemory is about what an item takes besides its path.
const itemMemory = 100

// Modes as source-controller writes them.
const (
	fileMode       = 0o600
	executableMode = 0o700
)

// group cuts the files of a view into members.
func group(v *View) [][]item {
	var groups [][]item
	var current []item
	var walk func(name string, n *node)
	walk = func(name string, n *node) {
		for _, e := range n.entries {
			at := path.Join(name, e.Name)
			if below := n.dirs[e.Name]; below != nil {
				walk(at, below)
				continue
			}
			if isBorder(at) && len(current) > 0 {
				groups = append(groups, current)
				current = nil
			}
			current = append(current, item{path: at, Entry: e})
		}
	}
	walk("", v.root)
	if len(current) > 0 {
		groups = append(groups, current)
	}
	return groups
}

// isBorder is true of one path in 32, which balances what a change encodes anew
// against how well files of a kind compress together.
func isBorder(path string) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, path)
	sum := h.Sum32()
	return (sum^sum>>16)%32 == 0
}

func keyOf(files []item) string {
	h := sha256.New()
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%o %s %s\x00", uint32(f.Mode), f.Hash, f.path)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// previous is an archive to copy from; nil has nothing.
type previous struct {
	file    *os.File
	members map[string]member
}

// take returns the bytes of a member, if they are there and sound, and there is
// room for them.
func (p *previous) take(key string, memory *reservation) ([]byte, bool) {
	if p == nil {
		return nil, false
	}
	m, ok := p.members[key]
	if !ok || m.Length < 0 || m.Length > maxArchive || memory.need(m.Length) != nil {
		return nil, false
	}
	data := make([]byte, m.Length)
	if _, err := p.file.ReadAt(data, m.Offset); err != nil {
		return nil, false
	}
	return data, crc32.ChecksumIEEE(data) == m.CRC
}

// reservation is memory that is taken for one thing after another: what is granted once
// is kept for the next.
type reservation struct {
	memory  *budget.Grant
	granted int64
}

// need makes sure that so many bytes may be held.
func (r *reservation) need(bytes int64) error {
	if bytes <= r.granted {
		return nil
	}
	if err := r.memory.Grow(bytes - r.granted); err != nil {
		return err
	}
	r.granted = bytes
	return nil
}

// writeArchive writes a view as an archive and returns its members.
func writeArchive(ctx context.Context, w io.Writer, v *View, from *previous, memory *budget.Grant) ([]member, error) {
	var members []member
	var offset int64
	write := func(key string, data []byte) error {
		members = append(members, member{Key: key, Offset: offset, Length: int64(len(data)), CRC: crc32.ChecksumIEEE(data)})
		if offset += int64(len(data)); offset > maxArchive {
			return fmt.Errorf("%w: more than %d bytes; leave files out by spec.ignore or a .sourceignore", tree.ErrTooLarge, maxArchive)
		}
		_, err := w.Write(data)
		return err
	}
	if err := memory.Grow(v.root.paths + int64(v.root.listed)*itemMemory); err != nil {
		return nil, fmt.Errorf("listing the paths of files: %w", err)
	}
	zip := zipper{memory: reservation{memory: memory}}
	for _, files := range group(v) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		key := keyOf(files)
		data, ok := from.take(key, &zip.memory)
		if !ok {
			var err error
			if data, err = zip.files(ctx, v, files); err != nil {
				return nil, err
			}
		}
		if err := write(key, data); err != nil {
			return nil, err
		}
	}
	end, err := zip.bytes(make([]byte, 1024)) // two empty blocks end a tarball
	if err != nil {
		return nil, err
	}
	return members, write("end", end)
}

// zipper compresses members.
type zipper struct {
	out    bytes.Buffer
	gz     *gzip.Writer
	memory reservation
}

func (z *zipper) reset() *gzip.Writer {
	z.out.Reset()
	if z.gz == nil {
		z.gz = gzip.NewWriter(&z.out)
	}
	z.gz.Reset(&z.out)
	return z.gz
}

// bytes compresses data; the result is good until the next call.
func (z *zipper) bytes(data []byte) ([]byte, error) {
	gz := z.reset()
	if _, err := gz.Write(data); err != nil {
		return nil, err
	}
	if err := gz.Close(); err != nil {
		return nil, err
	}
	return z.out.Bytes(), nil
}

// files compresses the tar entries of some files, likewise.
func (z *zipper) files(ctx context.Context, v *View, files []item) ([]byte, error) {
	gz := z.reset()
	archive := tar.NewWriter(gz)
	for _, f := range files {
		data, err := z.read(ctx, v, f.Hash)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f.path, err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Size: int64(len(data)), Mode: fileMode}
		if f.Mode == tree.Executable {
			header.Mode = executableMode
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", f.path, err)
		}
		if _, err := archive.Write(data); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", f.path, err)
		}
	}
	if err := archive.Flush(); err != nil { // not Close: it would end the tarball
		return nil, err
	}
	if err := gz.Close(); err != nil {
		return nil, err
	}
	return z.out.Bytes(), nil
}

// read reads a file when there is room for it and for what it may add to the member,
// whose buffer doubles as it grows.
func (z *zipper) read(ctx context.Context, v *View, hash string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size, err := v.files.BlobSize(hash)
	if err != nil {
		return nil, err
	}
	if err := z.memory.need(3*size + 2*int64(z.out.Len())); err != nil {
		return nil, err
	}
	return v.files.ReadBlob(hash)
}
