package notify

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// What one Receiver may ask for. A registry that mirrors a hundred images says so
// a hundred times at once, and a request that is refused may never be repeated,
// so that those beyond the burst wait.
const (
	perSecond = 20
	burst     = 100
	patience  = 5 * time.Second
)

// maxLimits bounds the memory of limits; those of Receivers that are gone would
// stay otherwise.
const maxLimits = 10_000

// limits are the turns of requests, by webhook path.
type limits struct {
	clock  clock.Clock
	mu     sync.Mutex
	byPath map[string]*rate.Limiter
}

func newLimits(c clock.Clock) *limits { return &limits{clock: c, byPath: map[string]*rate.Limiter{}} }

// wait returns when it is the request's turn, and false if that would take too
// long.
func (l *limits) wait(ctx context.Context, path string) bool {
	now := l.clock.Now()
	turn := l.of(path).ReserveN(now, 1)
	delay := turn.DelayFrom(now)
	switch {
	case delay == 0:
		return true
	case delay > patience:
		turn.CancelAt(now)
		return false
	}
	select {
	case <-l.clock.After(delay):
		return true
	case <-ctx.Done():
		turn.CancelAt(l.clock.Now())
		return false
	}
}

func (l *limits) of(path string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, ok := l.byPath[path]
	if !ok {
		if len(l.byPath) >= maxLimits {
			clear(l.byPath)
		}
		limit = rate.NewLimiter(perSecond, burst)
		l.byPath[path] = limit
	}
	return limit
}
