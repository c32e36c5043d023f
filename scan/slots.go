package scan

import (
	"context"
	"slices"
	"sync"
)

// slots let so many go on at once, and so many of each namespace. Of those that
// wait, the next is one of the namespace that has the least going on, so that a
// namespace with many waiting keeps only itself waiting.
type slots struct {
	most, share int

	mu      sync.Mutex
	running int
	held    map[string]int
	waiting map[string][]chan struct{}
	turns   []string // namespaces that wait, in the order in which they came
}

func newSlots(most, share int) *slots {
	return &slots{most: most, share: share, held: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// take waits for a slot. The error is that of the context.
func (s *slots) take(ctx context.Context, namespace string) error {
	s.mu.Lock()
	turn := make(chan struct{})
	if len(s.waiting[namespace]) == 0 {
		s.turns = append(s.turns, namespace)
	}
	s.waiting[namespace] = append(s.waiting[namespace], turn)
	s.serve()
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-turn: // meanwhile
		s.leave(namespace)
	default:
		s.drop(namespace, slices.Index(s.waiting[namespace], turn))
	}
	return ctx.Err()
}

// give returns a slot.
func (s *slots) give(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(namespace)
}

func (s *slots) leave(namespace string) {
	s.running--
	if s.held[namespace]--; s.held[namespace] == 0 {
		delete(s.held, namespace)
	}
	s.serve()
}

// serve lets in who may. The lock is held.
func (s *slots) serve() {
	for s.running < s.most {
		next := -1
		for i, namespace := range s.turns {
			if held := s.held[namespace]; held < s.share && (next < 0 || held < s.held[s.turns[next]]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		namespace := s.turns[next]
		s.running++
		s.held[namespace]++
		close(s.waiting[namespace][0])
		s.drop(namespace, 0)
	}
}

// drop takes one of those that wait out of the queue. The next of its namespace
// comes after those of the others.
func (s *slots) drop(namespace string, i int) {
	s.waiting[namespace] = slices.Delete(s.waiting[namespace], i, i+1)
	at := slices.Index(s.turns, namespace)
	s.turns = slices.Delete(s.turns, at, at+1)
	if len(s.waiting[namespace]) == 0 {
		delete(s.waiting, namespace)
		return
	}
	s.turns = append(s.turns, namespace)
}

// idle reports whether nobody has or wants a slot.
func (s *slots) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 && len(s.turns) == 0
}
