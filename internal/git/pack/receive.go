// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" // packs end in a SHA-1
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"

	"github.com/sluice-cd/sluice/internal/budget"
)

// ErrMalformed means that what was received is no whole, sound pack.
var ErrMalformed = errors.New("malformed pack")

// Receive stores the pack that r streams in dir. Objects that its deltas lean on
// without having them are looked up with base and added to it. A pack without
// objects, which is what a server sends when nothing is new, gives nil. A pack
// that is damaged is [ErrMalformed], and one beyond the limits [ErrTooLarge]; one for
// which there is no memory gives the errors of the budget.
func Receive(ctx context.Context, dir string, r io.Reader, base func(plumbing.Hash) (Object, error), memory AcquireMemory) (*Pack, error) {
	return receiver{limits: accepted, base: base, memory: memory}.receive(ctx, dir, r)
}

// receiver is how packs are received.
type receiver struct {
	limits limits
	base   func(plumbing.Hash) (Object, error)
	memory AcquireMemory
}

func (v receiver) receive(ctx context.Context, dir string, r io.Reader) (_ *Pack, err error) {
	file, err := os.CreateTemp(dir, "tmp_pack_")
	if err != nil {
		return nil, fmt.Errorf("receiving pack: %w", err)
	}
	defer discardOnError(file, &err)
	size, err := io.Copy(file, io.LimitReader(r, v.limits.pack+1))
	if err == nil {
		err = within(v.limits.pack, size, "a pack of %d bytes or more")
	}
	if err != nil {
		return nil, fmt.Errorf("receiving pack: %w", err)
	}
	index, err := v.index(ctx, file, size)
	if err != nil {
		return nil, fmt.Errorf("receiving pack: %w", err)
	}
	if index == nil {
		return nil, errors.Join(file.Close(), os.Remove(file.Name()))
	}
	return install(dir, file, index)
}

// index looks through a pack on the disk. Only here it takes memory.
func (v receiver) index(ctx context.Context, file *os.File, size int64) (*idxfile.MemoryIndex, error) {
	var head [headerSize]byte
	_, _ = file.ReadAt(head[:], 0) // scan says what is wrong with it
	memory, err := v.memory.acquire(ctx, size, int64(binary.BigEndian.Uint32(head[8:])))
	if err != nil {
		return nil, err
	}
	defer memory.release()
	x := &indexer{
		ended: ctx.Err, memory: memory,
		file: file, limits: v.limits, end: size - trailerSize, external: v.base,
		byOffset: map[int64]int{}, byHash: map[plumbing.Hash]int{},
		onOffset: map[int64][]int{}, onHash: map[plumbing.Hash][]int{},
	}
	index, err := x.run()
	for _, known := range []error{nil, ErrTooLarge, budget.ErrTooLarge, budget.ErrExhausted, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return index, err
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
}

// indexer finds out which objects a pack holds, where.
type indexer struct {
	ended    func() error // why nobody waits any more, or nil
	memory   *reservation
	file     *os.File
	limits   limits
	unpacked int64 // bytes of all objects so far
	end      int64 // of the objects; the trailer follows
	sum      plumbing.Hash
	external func(plumbing.Hash) (Object, error)

	entries  []entry
	byOffset map[int64]int
	byHash   map[plumbing.Hash]int
	// Deltas by the base they lean on.
	onOffset map[int64][]int
	onHash   map[plumbing.Hash][]int
}

// entry is one object in the pack; its hash is zero until its base is known.
type entry struct {
	offset int64
	crc    uint32
	hash   plumbing.Hash
}

func (x *indexer) run() (*idxfile.MemoryIndex, error) {
	if err := x.checkSum(); err != nil {
		return nil, err
	}
	if err := x.scan(); err != nil || len(x.entries) == 0 {
		return nil, err
	}
	for i := range x.entries {
		if err := x.resolveOn(i); err != nil {
			return nil, err
		}
	}
	if err := x.complete(); err != nil {
		return nil, err
	}
	return x.index()
}

// checkSum compares the trailer with the content.
func (x *indexer) checkSum() error {
	if x.end < headerSize {
		return io.ErrUnexpectedEOF
	}
	sum := sha1.New() // packs end in a SHA-1
	if _, err := io.Copy(sum, io.NewSectionReader(x.file, 0, x.end)); err != nil {
		return err
	}
	if _, err := x.file.ReadAt(x.sum[:], x.end); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), x.sum[:]) {
		return errors.New("checksum differs")
	}
	return nil
}

// scan reads all objects once, front to back.
func (x *indexer) scan() error {
	section := io.NewSectionReader(x.file, 0, x.end)
	r := bufio.NewReaderSize(section, 64<<10)
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	if string(head[:4]) != "PACK" || binary.BigEndian.Uint32(head[4:]) != 2 {
		return errors.New("no version 2 pack")
	}
	position := func() int64 {
		read, _ := section.Seek(0, io.SeekCurrent)
		return read - int64(r.Buffered())
	}
	objects := binary.BigEndian.Uint32(head[8:])
	if err := within(x.limits.objects, int64(objects), "a pack of %d objects"); err != nil {
		return err
	}
	for range objects {
		if err := x.scanObject(r, position()); err != nil {
			return fmt.Errorf("object %d: %w", len(x.entries), err)
		}
	}
	if position() != x.end {
		return errors.New("data behind the last object")
	}
	return x.addChecksums()
}

func (x *indexer) scanObject(r *bufio.Reader, offset int64) error {
	head, err := readHeader(r, offset)
	if err != nil {
		return err
	}
	data, err := inflate(r, head.size, x.limits, x.memory)
	if err == nil {
		err = x.count(data)
	}
	if err == nil {
		err = x.ended()
	}
	if err != nil {
		return err
	}
	defer x.memory.drop(int64(len(data)))
	i := len(x.entries)
	x.entries = append(x.entries, entry{offset: offset})
	x.byOffset[offset] = i
	switch head.kind {
	case plumbing.OFSDeltaObject:
		x.onOffset[head.baseOffset] = append(x.onOffset[head.baseOffset], i)
	case plumbing.REFDeltaObject:
		x.onHash[head.baseHash] = append(x.onHash[head.baseHash], i)
	default:
		x.name(i, Object{Type: head.kind, Data: data})
	}
	return nil
}

// count adds up what comes out of the pack.
func (x *indexer) count(data []byte) error {
	x.unpacked += int64(len(data))
	return within(x.limits.unpacked, x.unpacked, "a pack that unpacks to %d bytes or more")
}

// addChecksums computes the checksums that the index keeps of each raw entry.
func (x *indexer) addChecksums() error {
	for i := range x.entries {
		end := x.end
		if i+1 < len(x.entries) {
			end = x.entries[i+1].offset
		}
		sum := crc32.NewIEEE()
		offset := x.entries[i].offset
		if _, err := io.Copy(sum, io.NewSectionReader(x.file, offset, end-offset)); err != nil {
			return err
		}
		x.entries[i].crc = sum.Sum32()
	}
	return nil
}

func (x *indexer) name(i int, o Object) {
	x.entries[i].hash = o.Hash()
	x.byHash[x.entries[i].hash] = i
}

// index lists the entries for readers.
func (x *indexer) index() (*idxfile.MemoryIndex, error) {
	var w idxfile.Writer
	_ = w.OnHeader(uint32(len(x.entries)))
	for _, e := range x.entries {
		if e.hash.IsZero() {
			return nil, errors.New("a delta's base is missing")
		}
		w.Add(e.hash, uint64(e.offset), e.crc)
	}
	if err := w.OnFooter(x.sum); err != nil {
		return nil, err
	}
	return w.Index()
}
