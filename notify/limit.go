// SPDX-License-Identifier: Apache-2.0

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

// What all Receivers of a namespace may ask for, and what may be attempted at one
// where requests are known by their header: looking at that costs little, and what
// others attempt must not use up what the sender may ask for.
const (
	byNamespace = 5
	byAttempt   = 5
)

// maxLimits bounds the memory of limits; those of Receivers that are gone would
// stay otherwise.
const maxLimits = 10_000

// limits are the turns of requests.
type limits struct {
	clock clock.Clock
	mu    sync.Mutex
	of    map[limited]*rate.Limiter
}

// limited is what has turns of its own.
type limited struct {
	what, name string
	times      int // more of them than one Receiver has
}

// The turns that a request needs.
func oneReceiver(path string) limited { return limited{"receiver", path, 1} }
func attempts(path string) limited    { return limited{"attempts", path, byAttempt} }
func namespace(name string) limited   { return limited{"namespace", name, byNamespace} }

func newLimits(c clock.Clock) *limits { return &limits{clock: c, of: map[limited]*rate.Limiter{}} }

// wait returns when it is the request's turn, and false if that would take too
// long.
func (l *limits) wait(ctx context.Context, what limited) bool {
	now := l.clock.Now()
	turn := l.limiter(what).ReserveN(now, 1)
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

func (l *limits) limiter(what limited) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, ok := l.of[what]
	if !ok {
		if len(l.of) >= maxLimits {
			clear(l.of)
		}
		limit = rate.NewLimiter(rate.Limit(perSecond*what.times), burst*what.times)
		l.of[what] = limit
	}
	return limit
}
