// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"time"
)

// A listing on disk: the magic, the version, the fields, and a checksum over it
// all. Numbers are varints. Tags follow one another in order, so that each is the
// length that it shares with the one before it, and the rest:
//
//	image, at, etag, epochs (differences), tags (shared, rest, epoch)
var (
	magic      = []byte("sluice-tags\x01")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("damaged file")
)

func encodeListing(l *listing) []byte {
	out := slices.Clone(magic)
	text := func(s string) {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	text(l.id.Image)
	out = binary.AppendVarint(out, l.at.Unix())
	text(l.etag())
	out = binary.AppendUvarint(out, uint64(len(l.epochs)))
	var before int64
	for _, epoch := range l.epochs {
		out = binary.AppendVarint(out, epoch-before)
		before = epoch
	}
	out = binary.AppendUvarint(out, uint64(l.tags.len()))
	var last string
	for i := range l.tags.len() {
		tag := l.tags.at(i)
		shared := sharedPrefix(last, tag)
		out = binary.AppendUvarint(out, uint64(shared))
		text(tag[shared:])
		if l.born != nil {
			out = binary.AppendUvarint(out, uint64(l.born[i]))
		}
		last = tag
	}
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// etag is the one of a registry that answers with a single page. Those of several
// come with links, in which there may be anything, and are not kept on disk.
func (l *listing) etag() string {
	if len(l.pages) != 1 {
		return ""
	}
	return l.pages[0].etag
}

func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// decodeListing returns errDamaged for anything that encodeListing did not write.
func decodeListing(data []byte) (*listing, error) {
	body := len(data) - crc32.Size
	if body < len(magic) || string(data[:len(magic)]) != string(magic) ||
		binary.LittleEndian.Uint32(data[body:]) != crc32.Checksum(data[:body], castagnoli) {
		return nil, errDamaged
	}
	r := reader{data: data[len(magic):body]}
	l := &listing{}
	l.id.Image = string(r.bytes())
	l.at = time.Unix(r.varint(), 0)
	if etag := string(r.bytes()); etag != "" {
		l.pages = []page{{etag: etag}}
	}
	r.epochs(l)
	r.tags(l)
	if r.failed || len(r.data) > 0 {
		return nil, errDamaged
	}
	return l, nil
}

// reader reads fields until one of them is impossible.
type reader struct {
	data   []byte
	failed bool
}

func (r *reader) skip(n int) {
	if n <= 0 || n > len(r.data) {
		r.failed, r.data = true, nil
		return
	}
	r.data = r.data[n:]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	r.skip(n)
	return v
}

// count reads a number of things that take at least a byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.failed, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count()
	field := r.data[:n]
	r.data = r.data[n:]
	return field
}

func (r *reader) epochs(l *listing) {
	l.epochs = make([]int64, r.count())
	var before int64
	for i := range l.epochs {
		before += r.varint()
		l.epochs[i] = before
	}
	if len(l.epochs) == 0 || !slices.IsSorted(l.epochs) {
		r.failed = true
	}
}

func (r *reader) tags(l *listing) {
	n := r.count()
	packed := tagBuffer{ends: make([]uint32, 0, n)}
	if len(l.epochs) > 1 {
		l.born = make([]uint32, n)
	}
	var last []byte
	for i := 0; i < n && !r.failed; i++ {
		shared := r.uvarint()
		if shared > uint64(len(last)) {
			r.failed = true
			return
		}
		last = append(last[:shared], r.bytes()...)
		packed.add(last)
		if l.born != nil {
			l.born[i] = r.epoch(len(l.epochs))
		}
	}
	if packed.len() != n || !packed.ascending() {
		r.failed = true
	}
	l.tags = &tagset{text: string(packed.text), ends: packed.ends}
}

func (r *reader) epoch(count int) uint32 {
	at := r.uvarint()
	if at >= uint64(count) || at > math.MaxUint32 {
		r.failed = true
		return 0
	}
	return uint32(at)
}
