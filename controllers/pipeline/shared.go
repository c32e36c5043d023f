// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-cd/sluice/internal/background"
)

// askTimeout ends a question that a server does not answer, however many wait for it: the default of spec.timeout of a GitRepository.
const askTimeout = time.Minute

// sharedFor is for how long pipelines share an answer. A change in that time that wakes
// nobody is seen at the next interval.
const sharedFor = 10 * time.Second

// sharedRequests are answers for the pipelines that are woken together, by what was asked: one
// request for all of them, which each waits for no longer than its own context. A restart
// loses nothing. Entries go when they are too old to be shared.
type sharedRequests[K comparable, V any] struct {
	asking background.Group[K, V]

	mu      sync.Mutex
	answers map[K]sharedAnswer[V]
}

type sharedAnswer[V any] struct {
	askedAt time.Time // before it was asked for
	value   V
}

// get returns an answer that was asked for after since, and asks if there is none.
func (s *sharedRequests[K, V]) get(ctx context.Context, key K, since, now time.Time, ask func(context.Context) (V, error)) (V, error) {
	if a, ok := s.answer(key, since, now); ok {
		return a.value, nil
	}
	return s.asking.DoSince(ctx, key, since, now, func(ctx context.Context) (V, error) {
		value, err := ask(ctx)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.answers[key] = sharedAnswer[V]{askedAt: now, value: value}
		}
		return value, err
	})
}

// answer is what is known of a key, if that may be shared. What nobody can share any more is
// dropped.
func (s *sharedRequests[K, V]) answer(key K, since, now time.Time) (sharedAnswer[V], bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers, s.asking.Timeout = map[K]sharedAnswer[V]{}, askTimeout
	}
	for other, a := range s.answers {
		if now.Sub(a.askedAt) > sharedFor {
			delete(s.answers, other)
		}
	}
	a, ok := s.answers[key]
	return a, ok && !a.askedAt.Before(since)
}
