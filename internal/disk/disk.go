// SPDX-License-Identifier: Apache-2.0

// Package disk counts what is kept in the storage folder: mirrors of repositories and
// artifacts made of them, which grow with what others push. There is an end to all of
// it together, before the one that the file system has, where everything else on the
// node would stop as well; and one to each namespace's share, so that the repositories
// of one do not take the room of all:
//
//	Reserve -> ErrFull: the folder, or the share, is full; what is there stays
//	Release    what was removed
//	Record     what was there when the process started
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrFull means that there is no room.
var ErrFull = errors.New("no room in the storage folder")

// ofTotal is the part, one in so many, that one namespace may have.
const ofTotal = 2

// Space is the capacity of the storage folder. It is safe for concurrent use. A nil Space
// has no end.
type Space struct {
	total int64

	mu   sync.Mutex
	used int64
	by   map[string]int64 // by namespace; "" is what was there at the start
}

// New returns a space of so many bytes.
func New(total int64) *Space { return &Space{total: total, by: map[string]int64{}} }

// Reserve notes that so many bytes are about to be kept for a namespace, or returns
// [ErrFull].
func (s *Space) Reserve(namespace string, bytes int64) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch share := s.total / ofTotal; {
	case s.used+bytes > s.total:
		return fmt.Errorf("%w: all %d bytes of --storage-limit are in use; raise it, or keep fewer or smaller repositories", ErrFull, s.total)
	case s.by[namespace]+bytes > share:
		return fmt.Errorf("%w: namespace %s may use %d bytes, half of --storage-limit; raise it, or keep fewer or smaller repositories",
			ErrFull, namespace, share)
	}
	s.add(namespace, bytes)
	return nil
}

// Record notes what is there already, full or not.
func (s *Space) Record(namespace string, bytes int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(namespace, bytes)
}

// Release notes that so many bytes are there no more.
func (s *Space) Release(namespace string, bytes int64) { s.Record(namespace, -bytes) }

func (s *Space) add(namespace string, bytes int64) {
	s.used += bytes
	if s.by[namespace] += bytes; s.by[namespace] == 0 {
		delete(s.by, namespace)
	}
}

// Used is how many bytes are there of a namespace.
func (s *Space) Used(namespace string) int64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[namespace]
}

// Collector is a metric of how much is in use.
func (s *Space) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_storage_used_bytes", Help: "Bytes of mirrors and artifacts in the storage folder.",
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.used)
	})
}

// grain is how many bytes a [Meter] reserves at once.
const grain = 1 << 20

// Meter reserves space for what passes through it, before the end of it is known.
type Meter struct {
	Space     *Space
	Namespace string

	reserved, passed int64
}

// Reader is r, whose bytes are reserved as they are read.
func (m *Meter) Reader(r io.Reader) io.Reader { return reader{m, r} }

// Writer is w, whose bytes are reserved before they are written.
func (m *Meter) Writer(w io.Writer) io.Writer { return writer{m, w} }

func (m *Meter) reserveFor(n int) error {
	m.passed += int64(n)
	for m.passed > m.reserved {
		if err := m.Space.Reserve(m.Namespace, grain); err != nil {
			return err
		}
		m.reserved += grain
	}
	return nil
}

// Commit corrects what was reserved to what is kept in the end: nothing, after an error.
func (m *Meter) Commit(kept int64) {
	m.Space.Record(m.Namespace, kept-m.reserved)
	m.reserved, m.passed = 0, 0
}

type reader struct {
	meter *Meter
	from  io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if full := r.meter.reserveFor(n); full != nil {
		return 0, full
	}
	return n, err
}

type writer struct {
	meter *Meter
	to    io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.meter.reserveFor(len(p)); err != nil {
		return 0, err
	}
	return w.to.Write(p)
}

// SizeOf is how many bytes the files below a directory have; 0 where there is none.
func SizeOf(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it was removed meanwhile
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
