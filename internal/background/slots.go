// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"slices"
	"sync"
)

// Slots bound how many tasks run at once, in all and for each namespace. A free slot
// goes to the namespace with the fewest running tasks, so that a namespace with many
// waiting tasks delays only its own. It is a weighted semaphore per namespace below
// one for all, which golang.org/x/sync/semaphore cannot express fairly.
type Slots struct {
	total, perNamespace int

	mu      sync.Mutex
	running int
	held    map[string]int             // running, by namespace
	waiting map[string][]chan struct{} // by namespace
	order   []string                   // namespaces that wait, in the order in which they came
}

// NewSlots returns slots for so many tasks in all and of each namespace; zero is no
// limit.
func NewSlots(total, perNamespace int) *Slots {
	return &Slots{total: total, perNamespace: perNamespace, held: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// Acquire waits for a slot, which [Slots.Release] gives back. The error is the one of
// the context.
func (s *Slots) Acquire(ctx context.Context, namespace string) error {
	s.mu.Lock()
	granted := make(chan struct{})
	if len(s.waiting[namespace]) == 0 {
		s.order = append(s.order, namespace)
	}
	s.waiting[namespace] = append(s.waiting[namespace], granted)
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
		s.free(namespace)
	default:
		s.dequeue(namespace, slices.Index(s.waiting[namespace], granted))
	}
	return ctx.Err()
}

// Release gives a slot back.
func (s *Slots) Release(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(namespace)
}

// Idle reports whether nobody has a slot or waits for one.
func (s *Slots) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 && len(s.order) == 0
}

func (s *Slots) free(namespace string) {
	s.running--
	if s.held[namespace]--; s.held[namespace] == 0 {
		delete(s.held, namespace)
	}
	s.grant()
}

// grant hands out the free slots. The lock is held.
func (s *Slots) grant() {
	for s.total == 0 || s.running < s.total {
		next := -1
		for i, namespace := range s.order {
			held := s.held[namespace]
			if s.perNamespace > 0 && held >= s.perNamespace {
				continue
			}
			if next < 0 || held < s.held[s.order[next]] {
				next = i
			}
		}
		if next < 0 {
			return
		}
		namespace := s.order[next]
		s.running++
		s.held[namespace]++
		close(s.waiting[namespace][0])
		s.dequeue(namespace, 0)
	}
}

// dequeue removes one waiting caller. The next one of its namespace comes after those
// of the other namespaces.
func (s *Slots) dequeue(namespace string, i int) {
	s.waiting[namespace] = slices.Delete(s.waiting[namespace], i, i+1)
	at := slices.Index(s.order, namespace)
	s.order = slices.Delete(s.order, at, at+1)
	if len(s.waiting[namespace]) == 0 {
		delete(s.waiting, namespace)
		return
	}
	s.order = append(s.order, namespace)
}
