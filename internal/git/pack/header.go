// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
)

// header precedes the content of an object in a pack.
type header struct {
	kind plumbing.ObjectType
	size int64 // of the inflated content; of a delta, the delta's
	// Where a delta's base is: one of the two, by kind.
	baseOffset int64
	baseHash   plumbing.Hash
}

func (h header) isDelta() bool {
	return h.kind == plumbing.OFSDeltaObject || h.kind == plumbing.REFDeltaObject
}

var errHeader = errors.New("malformed object header")

type byteReader interface {
	io.Reader
	io.ByteReader
}

// readHeader reads the header of the object that starts at offset.
// The format is that of gitformat-pack(5).
func readHeader(r byteReader, offset int64) (header, error) {
	b, err := r.ReadByte()
	if err != nil {
		return header{}, err
	}
	h := header{kind: plumbing.ObjectType(b >> 4 & 7), size: int64(b & 15)}
	for shift := 4; b&0x80 != 0; shift += 7 {
		if b, err = r.ReadByte(); err != nil {
			return header{}, err
		}
		if shift > 53 {
			return header{}, errHeader
		}
		h.size |= int64(b&0x7f) << shift
	}
	switch h.kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return h, nil
	case plumbing.OFSDeltaObject:
		distance, err := readDistance(r)
		if h.baseOffset = offset - distance; err == nil && (distance <= 0 || h.baseOffset < headerSize) {
			err = errHeader
		}
		return h, err
	case plumbing.REFDeltaObject:
		_, err := io.ReadFull(r, h.baseHash[:])
		return h, err
	}
	return header{}, errHeader
}

// readDistance reads how far before an object its base starts.
func readDistance(r io.ByteReader) (int64, error) {
	b, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	distance := int64(b & 0x7f)
	for b&0x80 != 0 {
		if b, err = r.ReadByte(); err != nil {
			return 0, err
		}
		if distance > 1<<53 {
			return 0, errHeader
		}
		distance = (distance+1)<<7 | int64(b&0x7f)
	}
	return distance, nil
}

// appendHeader encodes the header of an object that is no delta.
func appendHeader(dst []byte, kind plumbing.ObjectType, size int64) []byte {
	b := byte(kind)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		dst = append(dst, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(dst, b)
}
