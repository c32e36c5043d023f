// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// The rate limit of one Receiver. A registry that mirrors a hundred images sends a hundred
// requests at once, and may never repeat one that is refused. So a request beyond the
// burst waits, maxDelay at most.
const (
	requestsPerSecond = 20
	burst             = 100
	maxDelay          = 5 * time.Second
)

// The limits of a namespace, and of requests whose header is not verified yet, as multiples
// of that of one Receiver. Verifying a header costs little, and forged requests must not
// use up the limit of the genuine sender.
const (
	namespaceFactor = 5
	attemptFactor   = 5
)

// maxLimits bounds how many limiters are kept, among them those of deleted Receivers.
const maxLimits = 10_000

// limits are the rate limiters of requests.
type limits struct {
	clock clock.Clock
	mu    sync.Mutex
	of    map[limitKey]*rate.Limiter // maxLimits at most; all are dropped beyond
}

// limitKey identifies a rate limiter.
type limitKey struct {
	scope, name string
	factor      int // of the rate and the burst of one Receiver
}

// The limiters that a request has to pass.
func receiverKey(path string) limitKey  { return limitKey{"receiver", path, 1} }
func attemptKey(path string) limitKey   { return limitKey{"attempts", path, attemptFactor} }
func namespaceKey(name string) limitKey { return limitKey{"namespace", name, namespaceFactor} }

func newLimits(c clock.Clock) *limits { return &limits{clock: c, of: map[limitKey]*rate.Limiter{}} }

// wait returns true when the limiter admits the request, and false at once if that would
// take more than maxDelay.
func (l *limits) wait(ctx context.Context, key limitKey) bool {
	now := l.clock.Now()
	reservation := l.limiter(key).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	switch {
	case delay == 0:
		return true
	case delay > maxDelay:
		reservation.CancelAt(now)
		return false
	}
	select {
	case <-l.clock.After(delay):
		return true
	case <-ctx.Done():
		reservation.CancelAt(l.clock.Now())
		return false
	}
}

func (l *limits) limiter(key limitKey) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, ok := l.of[key]
	if !ok {
		if len(l.of) >= maxLimits {
			clear(l.of)
		}
		limit = rate.NewLimiter(rate.Limit(requestsPerSecond*key.factor), burst*key.factor)
		l.of[key] = limit
	}
	return limit
}
