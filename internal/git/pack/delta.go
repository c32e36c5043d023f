// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"crypto/sha1" // packs end in a SHA-1
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// applyDelta makes an object of a base and a delta, which stay held.
func applyDelta(base Object, delta []byte, l limits, memory *reservation) (Object, error) {
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(len(base.Data)) {
		return Object{}, errDelta
	}
	size, m := binary.Uvarint(delta[n:])
	if m <= 0 || size > 1<<62 {
		return Object{}, errDelta
	}
	if err := within(l.object, int64(size), "an object of %d bytes"); err != nil {
		return Object{}, err
	}
	if err := memory.hold(int64(size)); err != nil {
		return Object{}, err
	}
	made := make([]byte, 0, size)
	for code := delta[n+m:]; len(code) > 0; {
		var piece []byte
		var ok bool
		if piece, code, ok = instruction(base.Data, code); !ok || len(made)+len(piece) > int(size) {
			return Object{}, errDelta
		}
		made = append(made, piece...)
	}
	if len(made) != int(size) {
		return Object{}, errDelta
	}
	return Object{Type: base.Type, Data: made}, nil
}

// instruction is the first one of a delta, and the rest: bytes that the delta has
// itself, or a copy of the base's, whose offset and size are there as far as they are
// not zero (gitformat-pack(5)).
func instruction(base, code []byte) (piece, rest []byte, ok bool) {
	op := code[0]
	code = code[1:]
	if op&0x80 == 0 {
		if op == 0 || int(op) > len(code) {
			return nil, nil, false
		}
		return code[:op], code[op:], true
	}
	var numbers [7]int
	for bit := range numbers {
		if op&(1<<bit) == 0 {
			continue
		}
		if len(code) == 0 {
			return nil, nil, false
		}
		numbers[bit], code = int(code[0]), code[1:]
	}
	offset := numbers[0] | numbers[1]<<8 | numbers[2]<<16 | numbers[3]<<24
	size := numbers[4] | numbers[5]<<8 | numbers[6]<<16
	if size == 0 {
		size = 0x10000
	}
	if offset > len(base) || size > len(base)-offset {
		return nil, nil, false
	}
	return base[offset : offset+size], code, true
}

// resolveOn names all deltas that lean, however far down the chain, on an entry
// that is no delta itself.
func (x *indexer) resolveOn(i int) error {
	e := x.entries[i]
	if e.hash.IsZero() || !x.leanedOn(e) {
		return nil
	}
	head, data, err := inflateAt(x.file, e.offset, x.limits, x.memory)
	if err != nil {
		return err
	}
	if head.isDelta() {
		x.memory.drop(int64(len(data)))
		return nil // it was, or will be, reached from its base
	}
	return x.descend(i, Object{Type: head.kind, Data: data}, 0)
}

func (x *indexer) leanedOn(e entry) bool {
	return len(x.onOffset[e.offset]) > 0 || len(x.onHash[e.hash]) > 0
}

// descend applies the deltas that lean on entry i, whose content is base, and drops
// base: before the last of them is descended into, so that a mere chain holds two
// objects at once, however long it is.
func (x *indexer) descend(i int, base Object, depth int) error {
	size := int64(len(base.Data))
	if err := deeper(depth+1, x.memory, x.limits); err != nil {
		return err
	}
	e := x.entries[i]
	children := slices.Concat(x.onOffset[e.offset], x.onHash[e.hash])
	for n, child := range children {
		object, err := x.resolve(child, base)
		if err != nil {
			return err
		}
		if n == len(children)-1 {
			base = Object{}
			x.memory.drop(size)
		}
		switch {
		case object.Type == plumbing.InvalidObject: // an object packed twice: both copies lead here
		case !x.leanedOn(x.entries[child]):
			x.memory.drop(int64(len(object.Data)))
		default:
			if err := x.descend(child, object, depth+1); err != nil {
				return err
			}
		}
	}
	if len(children) == 0 {
		x.memory.drop(size)
	}
	return nil
}

// resolve names one delta and returns what it makes of its base; nothing if that has
// been done.
func (x *indexer) resolve(i int, base Object) (Object, error) {
	if err := x.ended(); err != nil {
		return Object{}, err
	}
	if !x.entries[i].hash.IsZero() {
		return Object{}, nil
	}
	_, delta, err := inflateAt(x.file, x.entries[i].offset, x.limits, x.memory)
	if err != nil {
		return Object{}, err
	}
	object, err := applyDelta(base, delta, x.limits, x.memory)
	if err == nil {
		err = x.count(object.Data)
	}
	if err != nil {
		return Object{}, err
	}
	x.memory.drop(int64(len(delta)))
	x.name(i, object)
	return object, nil
}

// complete appends the objects that a thin pack leans on, as git index-pack
// --fix-thin does, and corrects the pack's count and trailer.
func (x *indexer) complete() error {
	received := len(x.entries)
	for before := -1; before != len(x.entries); {
		before = len(x.entries)
		if err := x.addBases(); err != nil {
			return err
		}
	}
	if len(x.entries) == received {
		return nil
	}
	return x.reseal()
}

// addBases adds those missing bases that can be had. Another may be a delta in
// this very pack, which one of these gives its name.
func (x *indexer) addBases() error {
	for hash := range x.onHash {
		if _, here := x.byHash[hash]; here {
			continue
		}
		base, err := x.external(hash)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := x.add(base); err != nil {
			return err
		}
	}
	return nil
}

// add appends an object that is not part of what was received.
func (x *indexer) add(o Object) error {
	raw, err := newEncoder(io.Discard).deflate(o)
	if err != nil {
		return err
	}
	if _, err := x.file.WriteAt(raw, x.end); err != nil {
		return err
	}
	i := len(x.entries)
	x.entries = append(x.entries, entry{offset: x.end, crc: crc32.ChecksumIEEE(raw)})
	x.end += int64(len(raw))
	x.name(i, o)
	if err := x.memory.hold(int64(len(o.Data))); err != nil {
		return err
	}
	return x.descend(i, o, 0)
}

func (x *indexer) reseal() error {
	if _, err := x.file.WriteAt(packHeader(len(x.entries)), 0); err != nil {
		return err
	}
	sum := sha1.New() // packs end in a SHA-1
	if _, err := io.Copy(sum, io.NewSectionReader(x.file, 0, x.end)); err != nil {
		return err
	}
	x.sum = plumbing.Hash(sum.Sum(nil))
	_, err := x.file.WriteAt(x.sum[:], x.end)
	return err
}
