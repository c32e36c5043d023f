// SPDX-License-Identifier: Apache-2.0

// Package pack stores Git objects in pack files: read in place by many at once,
// and written in one piece.
//
//	header | object object object ... | checksum        pack-<checksum>.pack
//	id -> offset of the object, sorted by id            pack-<checksum>.idx
//
// An object is its type, its size and its deflated content, or a delta against
// an object before it or named by id. A server that knows what the receiver has
// may send a thin pack, whose deltas lean on objects that are not in it: only
// thin packs keep a fetch into a shallow mirror as small as the change, because
// without them a server asked for one commit sends all of its files. [Receive]
// completes a thin pack with those objects, so that each pack stands alone.
//
// A pack counts once its index is in place, and that is renamed into place last:
// a half-written one leaves only temporary files behind.
//
// # Use
//
//	p, err := pack.Receive(ctx, dir, stream, base, memory)  // a pack from a server, thin or not
//	p, err := pack.Write(dir, objects)                      // objects made here
//	p, err := pack.Open(path)                               // what an earlier process left
//
// # Bounds
//
// A pack is a compressed program that its sender writes and its receiver runs. What
// one may make of itself is bounded (limits.go): bytes on the wire, number of objects,
// bytes of one object and of all, bytes held at once, and the length of delta chains.
// [FuzzReceive] and the forged packs of the tests hold Receive to them.
//
// # Why it is written by hand
//
// go-git 5 neither lets a client ask for thin packs nor completes one while it writes
// the pack to a file, and it bounds nothing of what a pack expands to. How much thin
// packs save shows Git itself, with what a server runs for a shallow fetch of one
// changed file among a thousand: 330 bytes thin, 56,790 bytes otherwise.
//
//	git init r && cd r
//	for i in $(seq 1000); do mkdir -p d$((i/100)); echo "kind: ConfigMap # $i" > d$((i/100))/$i.yaml; done
//	git add . && git commit -qm 1 && echo x >> d0/1.yaml && git commit -qam 2
//	new=$(git rev-parse HEAD) old=$(git rev-parse HEAD~1)
//	for thin in "" "--thin --shallow"; do
//	  printf -- "--shallow $new\n$new\n--not\n$old\n" | git pack-objects --revs --stdout $thin -q | wc -c
//	done
//
// What that means for a fetch is in BenchmarkLargeRepository of internal/git. The format
// itself is not ours: index files are those of go-git's idxfile, object ids and types
// those of its plumbing.
package pack

import (
	"bufio"
	"bytes"
	"crypto/sha1" // Git's object ids are SHA-1
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-cd/sluice/internal/budget"
)

var (
	// ErrCorrupt means that what is stored is not what was written.
	ErrCorrupt = errors.New("corrupt pack")
	// ErrNotFound means that the pack does not hold the object.
	ErrNotFound = errors.New("object not found")
)

const (
	headerSize  = 12
	trailerSize = sha1.Size
)

// Object is one Git object.
type Object struct {
	Type plumbing.ObjectType
	Data []byte
}

// Hash returns the object's id.
func (o Object) Hash() plumbing.Hash {
	return plumbing.ComputeHash(o.Type, o.Data)
}

// Pack is one pack file. It is safe for concurrent use.
type Pack struct {
	path  string
	file  *os.File
	size  int64
	index *idxfile.MemoryIndex
}

// Open opens the pack at path, which ends in .pack, with the index beside it.
func Open(path string) (*Pack, error) {
	index, err := readIndex(indexPath(path))
	if err != nil {
		return nil, fmt.Errorf("opening index of %s: %w: %w", path, ErrCorrupt, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening pack: %w: %w", ErrCorrupt, err)
	}
	p := &Pack{path: path, file: file, index: index}
	if err := p.matchesIndex(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

func indexPath(path string) string { return strings.TrimSuffix(path, ".pack") + ".idx" }

func readIndex(path string) (*idxfile.MemoryIndex, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	index := idxfile.NewMemoryIndex()
	return index, idxfile.NewDecoder(bytes.NewReader(data)).Decode(index)
}

// matchesIndex tells a whole pack from one cut short, by its trailer.
func (p *Pack) matchesIndex() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	p.size = info.Size()
	var trailer [trailerSize]byte
	if _, err := p.file.ReadAt(trailer[:], info.Size()-trailerSize); err != nil || trailer != p.index.PackfileChecksum {
		return fmt.Errorf("%w: %s does not match its index", ErrCorrupt, p.path)
	}
	return nil
}

// Path is where the pack file lies.
func (p *Pack) Path() string { return p.path }

// Bytes is how long the file is.
func (p *Pack) Bytes() int64 { return p.size }

// Close releases the file. Readers must be done.
func (p *Pack) Close() error { return p.file.Close() }

// Has reports whether the pack holds the object.
func (p *Pack) Has(h plumbing.Hash) bool {
	_, err := p.index.FindOffset(h)
	return err == nil
}

// Read returns an object, after checking that it is the one that was asked for.
func (p *Pack) Read(h plumbing.Hash) (Object, error) { return p.ReadWithin(h, nil) }

// ReadWithin is Read for readers who have a share of the memory, which is tried for what
// is held on the way, unless it is little. The object itself is the caller's.
func (p *Pack) ReadWithin(h plumbing.Hash, try TryAcquireMemory) (Object, error) {
	offset, err := p.index.FindOffset(h)
	if err != nil {
		return Object{}, fmt.Errorf("%w: %s", ErrNotFound, h)
	}
	memory := &reservation{try: try, granted: unreserved}
	defer memory.release()
	object, err := p.readAt(offset, 0, memory)
	if errors.Is(err, budget.ErrTooLarge) || errors.Is(err, budget.ErrExhausted) {
		return Object{}, fmt.Errorf("reading object %s: %w", h, err)
	}
	if err != nil {
		return Object{}, fmt.Errorf("reading object %s: %w: %w", h, ErrCorrupt, err)
	}
	if object.Hash() != h {
		return Object{}, fmt.Errorf("reading object %s: %w: content differs", h, ErrCorrupt)
	}
	return object, nil
}

// Size returns how long an object is, without reading more than its beginning.
func (p *Pack) Size(h plumbing.Hash) (int64, error) {
	offset, err := p.index.FindOffset(h)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", ErrNotFound, h)
	}
	size, err := sizeAt(p.file, offset)
	if err != nil {
		return 0, fmt.Errorf("reading object %s: %w: %w", h, ErrCorrupt, err)
	}
	return size, nil
}

// sizeAt reads the size of the object at an offset, which a delta says within its
// first bytes.
func sizeAt(file io.ReaderAt, offset int64) (int64, error) {
	r := buffers.Get().(*bufio.Reader)
	defer buffers.Put(r)
	r.Reset(io.NewSectionReader(file, offset, 1<<62-offset))
	head, err := readHeader(r, offset)
	if err != nil || !head.isDelta() {
		return head.size, err
	}
	slot := inflators.Get().(*io.ReadCloser)
	defer inflators.Put(slot)
	if err := resetInflator(slot, r); err != nil {
		return 0, err
	}
	start := make([]byte, min(head.size, 2*binary.MaxVarintLen64))
	if _, err := io.ReadFull(*slot, start); err != nil {
		return 0, err
	}
	return deltaTarget(start)
}

// deeper is an error when a chain of deltas is longer than any that Git writes, or more
// is held for it than is accepted.
func deeper(depth int, memory *reservation, l limits) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: a chain of more than %d deltas", ErrTooLarge, maxDepth)
	}
	return within(l.held, memory.held, "a chain of deltas that holds %d bytes")
}

// readAt reads the object at an offset and applies the deltas it stands on.
func (p *Pack) readAt(offset int64, depth int, memory *reservation) (Object, error) {
	head, data, err := inflateAt(p.file, offset, accepted, memory)
	if err != nil {
		return Object{}, err
	}
	if !head.isDelta() {
		return Object{Type: head.kind, Data: data}, nil
	}
	from := head.baseOffset
	if head.kind == plumbing.REFDeltaObject {
		if from, err = p.index.FindOffset(head.baseHash); err != nil {
			return Object{}, fmt.Errorf("base %s of delta: %w", head.baseHash, err)
		}
	}
	if err := deeper(depth+1, memory, accepted); err != nil {
		return Object{}, err
	}
	base, err := p.readAt(from, depth+1, memory)
	if err != nil {
		return Object{}, err
	}
	object, err := applyDelta(base, data, accepted, memory)
	memory.drop(int64(len(base.Data) + len(data)))
	return object, err
}

// Readers of deflated content are large; packs hold many small objects.
var (
	buffers   = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	inflators = sync.Pool{New: func() any { return new(io.ReadCloser) }}
)

// inflateAt reads one object's header and content, deltas unapplied. The content is held
// until the caller drops it.
func inflateAt(file io.ReaderAt, offset int64, l limits, memory *reservation) (header, []byte, error) {
	r := buffers.Get().(*bufio.Reader)
	defer buffers.Put(r)
	r.Reset(io.NewSectionReader(file, offset, 1<<62-offset))
	head, err := readHeader(r, offset)
	if err != nil {
		return head, nil, err
	}
	data, err := inflate(r, head.size, l, memory)
	return head, data, err
}

// inflate reads deflated content of a known size, and no byte behind it.
func inflate(r *bufio.Reader, size int64, l limits, memory *reservation) ([]byte, error) {
	if err := within(l.object, size, "an object of %d bytes"); err != nil {
		return nil, err
	}
	if err := memory.hold(size); err != nil {
		return nil, err
	}
	slot := inflators.Get().(*io.ReadCloser)
	defer inflators.Put(slot)
	if err := resetInflator(slot, r); err != nil {
		return nil, err
	}
	// The size is the word of whoever sent the pack, but it is paid for.
	content := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead+1))
	if _, err := content.ReadFrom(io.LimitReader(*slot, size+1)); err != nil {
		return nil, err
	}
	if int64(content.Len()) != size {
		return nil, fmt.Errorf("object has not the %d bytes it claims", size)
	}
	return content.Bytes(), nil
}

func resetInflator(slot *io.ReadCloser, r io.Reader) (err error) {
	if *slot == nil {
		*slot, err = zlib.NewReader(r)
		return err
	}
	return (*slot).(zlib.Resetter).Reset(r, nil)
}

// Raw reads the whole pack file, in the form that a push sends.
func (p *Pack) Raw() io.Reader { return io.NewSectionReader(p.file, 0, 1<<62) }

// All reads all objects, in no particular order.
func (p *Pack) All() iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		entries, err := p.index.Entries()
		for err == nil {
			var e *idxfile.Entry
			if e, err = entries.Next(); errors.Is(err, io.EOF) {
				return
			}
			var object Object
			if err == nil {
				object, err = p.Read(e.Hash)
			}
			if !yield(object, err) {
				return
			}
		}
	}
}
