// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"crypto/sha1" // packs end in a SHA-1
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/klauspost/compress/zlib"
)

// Write stores objects as a new pack in dir.
func Write(dir string, objects []Object) (_ *Pack, err error) {
	file, err := os.CreateTemp(dir, "tmp_pack_")
	if err != nil {
		return nil, fmt.Errorf("writing pack: %w", err)
	}
	defer discardOnError(file, &err)
	index, err := encode(file, objects)
	if err != nil {
		return nil, fmt.Errorf("writing pack: %w", err)
	}
	return install(dir, file, index)
}

// Encode writes a pack of objects to w, all in full.
func Encode(w io.Writer, objects []Object) error {
	_, err := encode(w, objects)
	return err
}

// encode writes each object once: Git takes a pack that has one twice for
// damaged.
func encode(w io.Writer, objects []Object) (*idxfile.MemoryIndex, error) {
	distinct := make(map[plumbing.Hash]Object, len(objects))
	var order []plumbing.Hash
	for _, o := range objects {
		hash := o.Hash()
		if _, seen := distinct[hash]; !seen {
			distinct[hash] = o
			order = append(order, hash)
		}
	}
	e := newEncoder(w)
	if err := e.header(len(order)); err != nil {
		return nil, err
	}
	for _, hash := range order {
		if err := e.object(hash, distinct[hash]); err != nil {
			return nil, err
		}
	}
	return e.finish()
}

// encoder writes a pack and notes for the index what it wrote where.
type encoder struct {
	out   io.Writer
	sum   interface{ Sum([]byte) []byte }
	pos   int64
	index idxfile.Writer
	entry bytes.Buffer
	zip   *zlib.Writer
}

func newEncoder(w io.Writer) *encoder {
	sum := sha1.New() // packs end in a SHA-1
	// Speed before size: the bytes live shortly, and cross the wire once.
	zip, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	return &encoder{out: io.MultiWriter(w, sum), sum: sum, zip: zip}
}

func (e *encoder) write(data []byte) error {
	n, err := e.out.Write(data)
	e.pos += int64(n)
	return err
}

func (e *encoder) header(n int) error {
	_ = e.index.OnHeader(uint32(n))
	return e.write(packHeader(n))
}

func packHeader(n int) []byte {
	head := binary.BigEndian.AppendUint32([]byte("PACK"), 2)
	return binary.BigEndian.AppendUint32(head, uint32(n))
}

func (e *encoder) object(hash plumbing.Hash, o Object) error {
	raw, err := e.deflate(o)
	if err != nil {
		return err
	}
	e.index.Add(hash, uint64(e.pos), crc32.ChecksumIEEE(raw))
	return e.write(raw)
}

// deflate returns the object as it stands in a pack; good until the next call.
func (e *encoder) deflate(o Object) ([]byte, error) {
	e.entry.Reset()
	e.entry.Write(appendHeader(nil, o.Type, int64(len(o.Data))))
	e.zip.Reset(&e.entry)
	if _, err := e.zip.Write(o.Data); err != nil {
		return nil, err
	}
	if err := e.zip.Close(); err != nil {
		return nil, err
	}
	return e.entry.Bytes(), nil
}

func (e *encoder) finish() (*idxfile.MemoryIndex, error) {
	sum := plumbing.Hash(e.sum.Sum(nil))
	if err := e.write(sum[:]); err != nil {
		return nil, err
	}
	if err := e.index.OnFooter(sum); err != nil {
		return nil, err
	}
	return e.index.Index()
}

// install gives a finished temporary pack its name, and its index after it: the
// index is what makes the pack count.
func install(dir string, file *os.File, index *idxfile.MemoryIndex) (*Pack, error) {
	path := filepath.Join(dir, fmt.Sprintf("pack-%x.pack", index.PackfileChecksum))
	var encoded bytes.Buffer
	if _, err := idxfile.NewEncoder(&encoded).Encode(index); err != nil {
		return nil, fmt.Errorf("encoding pack index: %w", err)
	}
	temporary := file.Name() + ".idx"
	if err := os.WriteFile(temporary, encoded.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("writing pack index: %w", err)
	}
	if err := errors.Join(os.Rename(file.Name(), path), os.Rename(temporary, indexPath(path))); err != nil {
		return nil, fmt.Errorf("installing pack: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("installing pack: %w", err)
	}
	return &Pack{path: path, file: file, size: info.Size(), index: index}, nil
}

// discardOnError removes a temporary file that did not become a pack.
func discardOnError(file *os.File, err *error) {
	if *err != nil {
		_ = file.Close()
		_ = os.Remove(file.Name())
		_ = os.Remove(file.Name() + ".idx")
	}
}
