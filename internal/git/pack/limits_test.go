// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-cd/sluice/internal/budget"
)

// forged builds packs that no Git would write.
type forged struct {
	body    bytes.Buffer
	objects int
	last    int // offset of the last object
	zip     *zlib.Writer
}

// entry adds an object whose header claims size.
func (f *forged) entry(kind plumbing.ObjectType, size int, base, content []byte) {
	f.last = f.body.Len()
	f.objects++
	f.body.Write(appendHeader(nil, kind, int64(size)))
	f.body.Write(base)
	if f.zip == nil {
		f.zip = zlib.NewWriter(&f.body)
	}
	f.zip.Reset(&f.body)
	_, _ = f.zip.Write(content)
	_ = f.zip.Close()
}

func (f *forged) blob(content []byte) { f.entry(plumbing.BlobObject, len(content), nil, content) }

// delta adds a delta on the object before it.
func (f *forged) delta(content []byte) {
	distance := f.body.Len() - f.last
	base := []byte{byte(distance & 0x7f)}
	for distance >>= 7; distance > 0; distance >>= 7 {
		distance--
		base = append([]byte{byte(distance&0x7f) | 0x80}, base...)
	}
	f.entry(plumbing.OFSDeltaObject, len(content), base, content)
}

// sealed is the pack, which claims to have the given number of objects.
func (f *forged) sealed(objects int) []byte {
	all := append(packHeader(objects), f.body.Bytes()...)
	return Sealed(append(all, make([]byte, trailerSize)...))
}

func (f *forged) pack() []byte { return f.sealed(f.objects) }

// copies is a delta that makes n copies of a base of the given size.
func copies(base, n int) []byte {
	delta := binary.AppendUvarint(nil, uint64(base))
	delta = binary.AppendUvarint(delta, uint64(base*n))
	for range n {
		delta = append(delta, 0x80|0x10|0x20, byte(base), byte(base>>8)) // from 0, size in two bytes
	}
	return delta
}

var small = limits{pack: 64 << 10, objects: 100, object: 32 << 10, unpacked: 256 << 10, held: 128 << 10}

func nothing(h plumbing.Hash) (Object, error) { return Object{}, fmt.Errorf("%w: %s", ErrNotFound, h) }

func TestReceiveBoundsWhatARemoteSends(t *testing.T) {
	tests := map[string]struct {
		build func(f *forged) []byte
		want  error
		says  string
	}{
		"a pack as large as allowed": {
			build: func(f *forged) []byte { f.blob(make([]byte, small.object)); return f.pack() },
		},
		"a pack of more bytes than allowed": {
			build: func(f *forged) []byte { return bytes.Repeat([]byte("PACK"), int(small.pack)) },
			want:  ErrTooLarge, says: "a pack of 65537 bytes or more, of which 65536 are allowed",
		},
		"a header that promises four billion objects": {
			build: func(f *forged) []byte { f.blob(nil); return f.sealed(1<<32 - 1) },
			want:  ErrTooLarge, says: "4294967295 objects",
		},
		"an object whose header claims a terabyte": {
			build: func(f *forged) []byte {
				f.entry(plumbing.BlobObject, 1<<40, nil, []byte("x"))
				return f.pack()
			},
			want: ErrTooLarge, says: "an object of 1099511627776 bytes",
		},
		"an object that inflates to more than it claims": {
			build: func(f *forged) []byte {
				f.entry(plumbing.BlobObject, 10, nil, make([]byte, 1<<20))
				return f.pack()
			},
			want: ErrMalformed,
		},
		"zeros that inflate a thousandfold, in many objects": {
			build: func(f *forged) []byte {
				for i := range 20 {
					f.blob(append(make([]byte, 30<<10), byte(i)))
				}
				return f.pack()
			},
			want: ErrTooLarge, says: "a pack that unpacks to",
		},
		"a delta that makes a huge object of a small one": {
			build: func(f *forged) []byte {
				f.blob(make([]byte, 16<<10))
				f.delta(copies(16<<10, 1000))
				return f.pack()
			},
			want: ErrTooLarge, says: "an object of 16384000 bytes",
		},
		"a delta that claims more than it makes": {
			build: func(f *forged) []byte {
				f.blob([]byte("base"))
				f.delta(append(binary.AppendUvarint([]byte{4}, 1<<62), 0x90, 4))
				return f.pack()
			},
			want: ErrTooLarge,
		},
		"a chain of deltas, each large": {
			build: func(f *forged) []byte {
				f.blob(make([]byte, 30<<10))
				for range 10 {
					f.delta(copies(30<<10, 1))
				}
				return f.pack()
			},
			want: ErrTooLarge, says: "a pack that unpacks to",
		},
		"many deltas on one base": {
			build: func(f *forged) []byte {
				f.blob(make([]byte, 16<<10))
				base := f.last
				for range 60 {
					f.last = base
					f.delta(copies(16<<10, 1))
				}
				return f.pack()
			},
			want: ErrTooLarge, says: "a pack that unpacks to",
		},
		"a delta on itself": {
			build: func(f *forged) []byte {
				f.entry(plumbing.OFSDeltaObject, 4, []byte{0}, []byte("none"))
				return f.pack()
			},
			want: ErrMalformed,
		},
		"a delta cut short": {
			build: func(f *forged) []byte {
				f.blob([]byte("base"))
				f.delta([]byte{4, 0x80})
				return f.pack()
			},
			want: ErrMalformed,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := receiver{limits: small, base: nothing}.receive(t.Context(), dir, bytes.NewReader(tc.build(&forged{})))
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if errors.Is(err, ErrTooLarge) && errors.Is(err, ErrMalformed) {
				t.Error("a pack that is too large is fetched again as if it were damaged")
			}
			if left, _ := os.ReadDir(dir); err != nil && len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAChainOfDeltasLongerThanGitWritesIsRefused(t *testing.T) {
	f := &forged{}
	f.blob([]byte("ab"))
	for range maxDepth + 10 {
		f.delta([]byte{2, 2, 0x90, 2})
	}
	_, err := Receive(t.Context(), t.TempDir(), bytes.NewReader(f.pack()), nothing, nil)
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "a chain of more than 4095 deltas") {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// fan is a pack whose objects lean on each other like a tree, so that many are held at
// once, each made of next to nothing.
func fan(size, depth int) []byte {
	f := &forged{}
	f.blob(make([]byte, size))
	for range depth {
		base := f.last
		f.delta(copies(size, 1))
		inner := f.last
		f.last = base
		f.delta(append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), 1), 1, byte(f.objects))) // a second one on the same base
		f.last = inner
	}
	return f.pack()
}

func TestWhatAPackHoldsIsGrantedFirst(t *testing.T) {
	const size = 60 << 10
	chain := &forged{}
	chain.blob(make([]byte, size))
	for range 300 {
		chain.delta(copies(size, 1))
	}
	many := &forged{}
	for i := range 60_000 {
		many.blob([]byte{byte(i), byte(i >> 8)})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx    context.Context
		pack   []byte
		memory int64
		want   error
	}{
		"a chain holds two objects at once":             {t.Context(), chain.pack(), 4 << 20, nil},
		"objects that lean on each other hold them all": {t.Context(), fan(size, 100), 4 << 20, budget.ErrTooLarge},
		"and are received when there is room":           {t.Context(), fan(size, 100), 64 << 20, nil},
		"many objects take it for their index":          {t.Context(), many.pack(), 4 << 20, budget.ErrTooLarge},
		"a caller that waits no more":                   {ended, chain.pack(), 4 << 20, context.Canceled},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b, dir := budget.New(tc.memory), t.TempDir()
			_, err := Receive(tc.ctx, dir, bytes.NewReader(tc.pack), nothing, func(ctx context.Context, bytes int64) (*budget.Grant, error) {
				return b.Acquire(ctx, "apps", bytes)
			})
			if !errors.Is(err, tc.want) || errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if whole, err := b.TryAcquire("apps", b.NamespaceLimit()); err != nil {
				t.Errorf("some of the memory was not given back: %v", err)
			} else {
				whole.Release()
			}
			if left, _ := os.ReadDir(dir); tc.want != nil && len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAReaderAsksForRoomForWhatIsBehindAnObject(t *testing.T) {
	f := &forged{}
	f.blob(make([]byte, 8<<20))
	f.delta([]byte{0x80, 0x80, 0x80, 0x04, 2, 2, 'h', 'i'}) // an object of two bytes on one of 8 MiB
	p, err := Receive(t.Context(), t.TempDir(), bytes.NewReader(f.pack()), nothing, nil)
	if err != nil {
		t.Fatal(err)
	}
	small := Object{Type: plumbing.BlobObject, Data: []byte("hi")}.Hash()
	if size, err := p.Size(small); err != nil || size != 2 {
		t.Errorf("its size is %d, %v", size, err)
	}
	b := budget.New(4 << 20)
	_, err = p.ReadWithin(small, func(bytes int64) (*budget.Grant, error) { return b.TryAcquire("apps", bytes) })
	if !errors.Is(err, budget.ErrTooLarge) || errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if got, err := p.Read(small); err != nil || string(got.Data) != "hi" {
		t.Errorf("got %q, %v", got.Data, err)
	}
}
