package pack

import (
	"crypto/sha1" // packs end in a SHA-1
	"errors"
	"hash/crc32"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
)

// resolveOn names all deltas that lean, however far down the chain, on an entry
// that is no delta itself.
func (x *indexer) resolveOn(i int) error {
	e := x.entries[i]
	if e.hash.IsZero() || !x.leanedOn(e) {
		return nil
	}
	head, data, err := inflateAt(x.file, e.offset, x.limits)
	if err != nil || head.isDelta() {
		return err // a delta was, or will be, reached from its base
	}
	return x.descend(i, Object{Type: head.kind, Data: data}, chain{})
}

func (x *indexer) leanedOn(e entry) bool {
	return len(x.onOffset[e.offset]) > 0 || len(x.onHash[e.hash]) > 0
}

// descend applies the deltas that lean on entry i, whose content is base.
func (x *indexer) descend(i int, base Object, above chain) error {
	below, err := above.then(base.Data, x.limits)
	if err != nil {
		return err
	}
	e := x.entries[i]
	for _, children := range [][]int{x.onOffset[e.offset], x.onHash[e.hash]} {
		for _, child := range children {
			if err := x.resolve(child, base, below); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve names one delta and those that lean on it.
func (x *indexer) resolve(i int, base Object, above chain) error {
	if !x.entries[i].hash.IsZero() {
		return nil // an object packed twice: both copies lead here
	}
	_, delta, err := inflateAt(x.file, x.entries[i].offset, x.limits)
	if err != nil {
		return err
	}
	object, err := applyDelta(base, delta, x.limits)
	if err == nil {
		err = x.count(object.Data)
	}
	if err != nil {
		return err
	}
	x.name(i, object)
	if !x.leanedOn(x.entries[i]) {
		return nil
	}
	return x.descend(i, object, above)
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
	return x.descend(i, o, chain{})
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
