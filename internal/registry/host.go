// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-cd/sluice/internal/background"
)

// Limits of what one registry host is asked. A registry that says less in its
// headers gets less.
const (
	// hostSlots is how many scans of one host run at once, and namespaceSlots how
	// many of them for one namespace.
	hostSlots, namespaceSlots = 32, 8
	// hostRate and hostBurst are requests per second, and at once. A namespace has
	// half of them, so that it never keeps the others from asking.
	hostRate, hostBurst           = 200, 2000
	namespaceRate, namespaceBurst = hostRate / 2, hostBurst / 2
	// maxDelay is the longest a request waits for its turn; beyond that the scan
	// gives up its place and comes back.
	maxDelay = 2 * time.Second
	// MaxPageSize is the page of a list that is asked for first; most registries allow
	// it, some less, and some refuse a number that is too high.
	MaxPageSize = 1000
	// hostLife is how long a host is remembered that nobody asks.
	hostLife = time.Hour
	// sweepInterval is how often those are looked for that nobody asks.
	sweepInterval = 10 * time.Minute
	// manyShares is how many namespaces ask a host before those that do not any
	// more are looked for.
	manyShares = 256
)

// RateLimited is the error of a registry that asks to be left alone for a while.
type RateLimited struct {
	Host  string
	After time.Duration
}

// Error implements error. It does not say how long: each attempt would say
// something else, and every change of a condition is a write and an event.
func (e *RateLimited) Error() string {
	return e.Host + " limits the rate of requests, and is asked again when it allows"
}

// endpoint is a host and the way to it: a TLS configuration and a proxy. What a
// proxy or a certificate authority of somebody's own makes of a host's name must
// not be believed of the host by all others.
type endpoint struct{ host, route string }

// caller is whose request it is.
type caller struct {
	namespace  string
	credential string // a digest; empty is anonymous
	registry   string // that the object names
}

type callerKey struct{}

func (who caller) withCaller(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// Host is what is known of one registry over one route, whatever the image.
type Host struct {
	name  string
	queue *background.Queue

	mu                sync.Mutex
	used              time.Time
	bucket            *rate.Limiter
	namespaceLimiters map[string]*rate.Limiter // by namespace
	until             map[string]time.Time     // left alone until then, by credential
	perPage           int                      // 0: the registry refuses every number
}

// hosts makes a host when it is first asked for, and forgets those that nobody
// asks: servers may name others without end.
type hosts struct {
	mu    sync.Mutex
	list  map[endpoint]*Host
	swept time.Time
}

func (all *hosts) get(at endpoint, now time.Time) *Host {
	all.mu.Lock()
	defer all.mu.Unlock()
	h, ok := all.list[at]
	if !ok {
		h = &Host{
			name: at.host, queue: background.NewQueue(background.NewSlots[string](hostSlots, namespaceSlots)), perPage: MaxPageSize,
			bucket: rate.NewLimiter(hostRate, hostBurst), namespaceLimiters: map[string]*rate.Limiter{}, until: map[string]time.Time{},
		}
		if all.list == nil {
			all.list = map[endpoint]*Host{}
		}
		if now.Sub(all.swept) > sweepInterval {
			maps.DeleteFunc(all.list, func(_ endpoint, other *Host) bool { return other.idle(now) })
			all.swept = now
		}
		all.list[at] = h
	}
	h.use(now)
	return h
}

func (h *Host) use(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = now
}

// idle reports whether the host is of no interest any more.
func (h *Host) idle(now time.Time) bool {
	if !h.queue.Idle() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropEndedPauses(now)
	return now.Sub(h.used) > hostLife && len(h.until) == 0
}

// dropEndedPauses forgets pauses that are over. The lock is held.
func (h *Host) dropEndedPauses(now time.Time) {
	maps.DeleteFunc(h.until, func(_ string, at time.Time) bool { return !at.After(now) })
}

// limited says how long the host is to be left alone with a credential, as an
// error, or nil.
func (h *Host) limited(now time.Time, who caller) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after := h.until[who.credential].Sub(now); after > 0 {
		return &RateLimited{Host: h.name, After: after}
	}
	return nil
}

// pause leaves the host alone with a credential until at. Registries count by
// credential, and those that have none by address: what one has used up is no
// reason to keep another waiting.
func (h *Host) pause(now, at time.Time, who caller) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropEndedPauses(now)
	if at.After(h.until[who.credential]) {
		h.until[who.credential] = at
	}
}

// reserve takes a request's place in the queue: how long it has to wait, or that it
// is not worth waiting.
func (h *Host) reserve(now time.Time, who caller) (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := h.until[who.credential].Sub(now)
	if wait > maxDelay {
		return 0, &RateLimited{Host: h.name, After: wait}
	}
	places := [...]*rate.Reservation{h.limiterOf(now, who.namespace).ReserveN(now, 1), h.bucket.ReserveN(now, 1)}
	for _, place := range places {
		wait = max(wait, place.DelayFrom(now))
	}
	if wait > maxDelay {
		for _, place := range places {
			place.CancelAt(now)
		}
		return 0, &RateLimited{Host: h.name, After: wait}
	}
	return max(wait, 0), nil
}

// limiterOf is what a namespace has of the host's requests. The lock is held.
func (h *Host) limiterOf(now time.Time, namespace string) *rate.Limiter {
	limiter, ok := h.namespaceLimiters[namespace]
	if !ok {
		if len(h.namespaceLimiters) >= manyShares {
			maps.DeleteFunc(h.namespaceLimiters, func(_ string, other *rate.Limiter) bool { return other.TokensAt(now) >= float64(other.Burst()) })
		}
		limiter = rate.NewLimiter(namespaceRate, namespaceBurst)
		h.namespaceLimiters[namespace] = limiter
	}
	return limiter
}

// Queue is where scans of the host take their slots.
func (h *Host) Queue() *background.Queue { return h.queue }

// PageSize is the size of page to ask for, which the registry is known to take; zero is
// none.
func (h *Host) PageSize() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.perPage
}

// SetPageSize notes which page size the registry takes.
func (h *Host) SetPageSize(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.perPage = n
}
