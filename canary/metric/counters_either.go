// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// readEither reads what the proxies of a gateway have counted or, where Prometheus does not scrape these, what the pods
// have. It stays with proxies that have counted a while ago: readings of the two have nothing to do with each other, so that
// all evidence would be lost with a gateway that restarts.
func (k *Checker) readEither(canary client.ObjectKey, proxies *preparedCounters) Read {
	var podLooks atomic.Int32 // how many more readings are the pods' only
	key := canary.String() + " " + proxies.counts
	return func(ctx context.Context, at time.Time) (counter.Reading, error) {
		if podLooks.Add(-1) >= 0 {
			return proxies.otherwise.read(ctx, at)
		}
		r, err := proxies.read(ctx, at)
		switch {
		case err != nil:
			return counter.Reading{}, err
		case len(r.Samples) > 0:
			k.lately.note(key, r.At)
			return r, nil
		case k.lately.has(key, r.At):
			return r, nil
		}
		pods, err := proxies.otherwise.read(ctx, at)
		if err != nil || len(pods.Samples) == 0 {
			return r, err
		}
		podLooks.Store(readingsBetweenNativeQueries)
		return pods, nil
	}
}

// recentlyCounted remembers when the proxies of gateways had counters of a canary, for all that read them.
type recentlyCounted struct {
	mu    sync.Mutex
	times map[string]time.Time
}

const (
	// gone is for how long proxies have counted nothing that count no more: longer than any gateway restarts, and than
	// Prometheus goes on with the last value of what it does not scrape any more.
	gone = 10 * time.Minute
	// maxRecentlyCounted bounds what is remembered of canaries; those that are no more would stay.
	maxRecentlyCounted = 20_000
)

func (l *recentlyCounted) note(key string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil || len(l.times) >= maxRecentlyCounted {
		l.times = map[string]time.Time{}
	}
	l.times[key] = at
}

func (l *recentlyCounted) has(key string, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.times[key]
	return ok && at.Sub(last).Abs() < gone
}
