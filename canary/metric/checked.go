// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// checkedQueries remembers which queries can be filled in. Every look at a canary at rest
// asks about all of its metrics, in a worker; a query that takes as much as one may
// is filled in once for that, and not again before it is different.
type checkedQueries struct {
	mu         sync.Mutex
	renderable map[[sha256.Size]byte]struct{} // those that can
}

// maxCheckedQueries bounds their memory; queries that nobody has any more would stay.
const maxCheckedQueries = 20_000

// check says what is wrong with a query, whatever pods there are.
func (s *checkedQueries) check(ctx context.Context, p preparedQuery) error {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %#v", p.field, p.provider, p.query, p.pods != nil, p.vars))
	s.mu.Lock()
	_, ok := s.renderable[key]
	s.mu.Unlock()
	if ok {
		return nil
	}
	if _, err := p.fill(ctx, p.vars, 0, time.Time{}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renderable == nil || len(s.renderable) >= maxCheckedQueries {
		s.renderable = map[[sha256.Size]byte]struct{}{}
	}
	s.renderable[key] = struct{}{}
	return nil
}
