// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"slices"
	"sync"
)

// Slots bound how many tasks run at once, in all and for each key: a namespace, a user, a
// branch. A free slot goes to the key with the fewest running tasks, so that one with many
// waiting tasks delays only its own. It is a weighted semaphore per key below one for all,
// which golang.org/x/sync/semaphore cannot express: it serves in the order of arrival (package budget has a test that
// shows what that does to others). A key is forgotten when it has
// no slot and waits for none.
type Slots[K comparable] struct {
	total, perKey int

	mu      sync.Mutex
	running int
	held    map[K]int             // running
	waiting map[K][]chan struct{} // closed when there is a slot
	queue   []K                   // those that wait, in the order in which they came
}

// NewSlots returns slots for so many tasks in all and of each key; zero is no limit.
func NewSlots[K comparable](total, perKey int) *Slots[K] {
	return &Slots[K]{total: total, perKey: perKey, held: map[K]int{}, waiting: map[K][]chan struct{}{}}
}

// Acquire waits for a slot, which [Slots.Release] gives back. The error is the cause that
// the context ended for.
func (s *Slots[K]) Acquire(ctx context.Context, key K) error {
	s.mu.Lock()
	granted := make(chan struct{})
	if len(s.waiting[key]) == 0 {
		s.queue = append(s.queue, key)
	}
	s.waiting[key] = append(s.waiting[key], granted)
	s.grant()
	s.mu.Unlock()
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-granted: // at the same moment
		s.free(key)
	default:
		s.dequeue(key, slices.Index(s.waiting[key], granted))
	}
	return context.Cause(ctx)
}

// TryAcquire takes a slot if one is free for the key, and does not wait.
func (s *Slots[K]) TryAcquire(key K) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total > 0 && s.running >= s.total || !s.hasShare(key) {
		return false
	}
	s.take(key)
	return true
}

// Release gives a slot back.
func (s *Slots[K]) Release(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(key)
}

// Idle reports whether nobody has a slot or waits for one.
func (s *Slots[K]) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 && len(s.queue) == 0
}

// hasShare reports whether a key may have one more slot. The lock is held, here and below.
func (s *Slots[K]) hasShare(key K) bool { return s.perKey == 0 || s.held[key] < s.perKey }

func (s *Slots[K]) take(key K) {
	s.running++
	s.held[key]++
}

func (s *Slots[K]) free(key K) {
	s.running--
	if s.held[key]--; s.held[key] == 0 {
		delete(s.held, key)
	}
	s.grant()
}

// grant hands out the free slots.
func (s *Slots[K]) grant() {
	for s.total == 0 || s.running < s.total {
		next := -1
		for i, key := range s.queue {
			if s.hasShare(key) && (next < 0 || s.held[key] < s.held[s.queue[next]]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		key := s.queue[next]
		s.take(key)
		close(s.waiting[key][0])
		s.dequeue(key, 0)
	}
}

// dequeue removes one waiting caller. The next one of its key comes after those of the
// other keys.
func (s *Slots[K]) dequeue(key K, i int) {
	s.waiting[key] = slices.Delete(s.waiting[key], i, i+1)
	at := slices.Index(s.queue, key)
	s.queue = slices.Delete(s.queue, at, at+1)
	if len(s.waiting[key]) == 0 {
		delete(s.waiting, key)
		return
	}
	s.queue = append(s.queue, key)
}
