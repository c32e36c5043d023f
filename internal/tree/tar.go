// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// Limits bound what a tarball may unfold to, so that a small download cannot
// fill the memory. Zero fields mean the defaults.
type Limits struct {
	// Bytes is the sum of all file sizes; default 256 MiB.
	Bytes int64
	// Files is the number of files; default 200,000.
	Files int
	// Grow is asked before so many bytes more are held; nil grants everything.
	Grow func(bytes int64) error
	// Links is what becomes of symlinks; default [KeepLinks].
	Links LinkRule
}

// LinkRule is what becomes of the symlinks of a tarball.
type LinkRule int

const (
	// KeepLinks has the tree hold them.
	KeepLinks LinkRule = iota
	// DropLinks leaves them out.
	DropLinks
)

const (
	defaultMaxBytes = 256 << 20
	defaultMaxFiles = 200_000
)

// ErrTooLarge is returned for a tarball that exceeds its limits.
var ErrTooLarge = errors.New("archive is too large")

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = defaultMaxBytes
	}
	if l.Files == 0 {
		l.Files = defaultMaxFiles
	}
	if l.Grow == nil {
		l.Grow = func(int64) error { return nil }
	}
	return l
}

// FromTar reads a gzipped tarball into memory. Regular files and symlinks are
// kept and directories follow from their paths; anything else, a path that
// leaves the archive, and a file named twice are errors.
func FromTar(r io.Reader, limits Limits) (*Memory, error) {
	limits = limits.withDefaults()
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	root := newDir(".")
	// Headers count as well: a path may be a megabyte long, and compresses to nothing.
	archive := tar.NewReader(bounded.Reader(unzipped, limits.Bytes+int64(limits.Files)*headerBytes, ErrTooLarge))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading archive: %w", err)
		}
		if limits.Files--; limits.Files < 0 {
			return nil, ErrTooLarge
		}
		if limits.Bytes -= header.Size; limits.Bytes < 0 || header.Size < 0 || len(header.Name) > maxPath || len(header.Linkname) > maxPath {
			return nil, ErrTooLarge
		}
		if header.Typeflag == tar.TypeSymlink && limits.Links == DropLinks {
			continue
		}
		nodes := 1 + int64(root.missing(header.Name))
		if err := limits.Grow(header.Size + nodes*nodeBytes + int64(len(header.Name)+len(header.Linkname))); err != nil {
			return nil, err
		}
		if err := root.unpack(header, archive); err != nil {
			return nil, err
		}
	}
	root.seal()
	return &Memory{root: root}, nil
}

const (
	// headerBytes is what the header of a file takes in a tarball, padding included.
	headerBytes = 2048
	// nodeBytes is what a file takes in memory besides its content.
	nodeBytes = 512
	// maxPath is what Linux allows.
	maxPath = 4096
)

// unpack puts one member of an archive into the tree.
func (n *node) unpack(header *tar.Header, r io.Reader) error {
	switch header.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		return n.insert(header.Name, Content{Mode: Symlink, Data: []byte(header.Linkname)})
	case tar.TypeReg:
	default:
		return fmt.Errorf("reading archive: %q has type %q, which a tree cannot hold", header.Name, header.Typeflag)
	}
	data := make([]byte, header.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("reading %q from archive: %w", header.Name, err)
	}
	mode := File
	if header.FileInfo().Mode()&0o100 != 0 {
		mode = Executable
	}
	return n.insert(header.Name, Content{Mode: mode, Data: data})
}
