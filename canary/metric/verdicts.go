package metric

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// verdicts remembers which queries can be filled in. Every look at a canary at rest
// asks about all of its metrics, in a worker; a query that takes as much as one may
// is filled in once for that, and not again before it is different.
type verdicts struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // those that can
}

// maxVerdicts bounds their memory; queries that nobody has any more would stay.
const maxVerdicts = 20_000

// of says what is wrong with the query of a plan, whatever pods there are.
func (s *verdicts) of(ctx context.Context, p plan) error {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %#v", p.field, p.provider, p.query, p.pods != nil, p.vars))
	s.mu.Lock()
	_, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		return nil
	}
	if _, err := p.ask(ctx, p.vars, 0, time.Time{}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxVerdicts {
		s.known = map[[sha256.Size]byte]struct{}{}
	}
	s.known[key] = struct{}{}
	return nil
}
