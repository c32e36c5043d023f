// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/lru"
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

// maxLimits bounds how many limiters of a scope are kept, among them those of deleted
// Receivers. Those that were used longest ago are dropped beyond it, which loses nothing
// after the five seconds in which a limiter is as good as new. Each scope has its own
// bound: many Receivers do not push the limit of their namespace out of the cache.
const maxLimits = 10_000

// limits are the rate limiters of requests.
type limits struct {
	clock   clock.Clock
	mu      sync.Mutex // so that two requests get one limiter
	byScope map[scope]*lru.Cache[string, *rate.Limiter]
}

// scope is what a limiter counts the requests of.
type scope string

// The scopes, and the rate and burst of each as a multiple of those of one Receiver.
const (
	ofReceiver  scope = "receiver"
	ofAttempts  scope = "attempts"
	ofNamespace scope = "namespace"
)

var factors = map[scope]int{ofReceiver: 1, ofAttempts: attemptFactor, ofNamespace: namespaceFactor}

// limitKey identifies a rate limiter.
type limitKey struct {
	scope scope
	name  string
}

// The limiters that a request has to pass.
func receiverKey(path string) limitKey  { return limitKey{ofReceiver, path} }
func attemptKey(path string) limitKey   { return limitKey{ofAttempts, path} }
func namespaceKey(name string) limitKey { return limitKey{ofNamespace, name} }

func newLimits(c clock.Clock) *limits {
	l := &limits{clock: c, byScope: map[scope]*lru.Cache[string, *rate.Limiter]{}}
	for scope := range factors {
		l.byScope[scope] = lru.NewCounted[string, *rate.Limiter](maxLimits)
	}
	return l
}

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
	kept, factor := l.byScope[key.scope], factors[key.scope]
	limit, ok := kept.Get(key.name)
	if !ok {
		limit = rate.NewLimiter(rate.Limit(requestsPerSecond*factor), burst*factor)
		kept.Put(key.name, limit)
	}
	return limit
}
