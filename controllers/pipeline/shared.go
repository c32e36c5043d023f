// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"sync"
	"time"
)

// sharedFor is for how long pipelines share an answer. A change in that time that wakes
// nobody is seen at the next interval.
const sharedFor = 10 * time.Second

// shared are answers for the pipelines that are woken together, by what was asked: one
// request for all of them. A restart loses nothing. Entries go when they are too old to be
// shared.
type shared[K comparable, V any] struct {
	mu      sync.Mutex
	answers map[K]*sharedAnswer[V]
}

// sharedAnswer is asked for by one pipeline at a time; others wait for it.
type sharedAnswer[V any] struct {
	mu    sync.Mutex
	at    time.Time // before it was asked for
	value V
}

// get returns an answer that was asked for after since, and asks if there is none.
func (s *shared[K, V]) get(ctx context.Context, key K, since, now time.Time, ask func(context.Context) (V, error)) (V, error) {
	a := s.answer(key, now)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && !a.at.Before(since) && now.Sub(a.at) <= sharedFor {
		return a.value, nil
	}
	value, err := ask(ctx)
	if err != nil {
		return value, err
	}
	a.at, a.value = now, value
	return value, nil
}

// answer is the entry of a key. Those that nobody can share any more are dropped.
func (s *shared[K, V]) answer(key K, now time.Time) *sharedAnswer[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, a := range s.answers {
		if other != key && a.mu.TryLock() {
			if now.Sub(a.at) > sharedFor {
				delete(s.answers, other)
			}
			a.mu.Unlock()
		}
	}
	if s.answers[key] == nil {
		if s.answers == nil {
			s.answers = map[K]*sharedAnswer[V]{}
		}
		s.answers[key] = &sharedAnswer[V]{}
	}
	return s.answers[key]
}
