// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

func TestABurstOfWebhooksWaitsAndIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits, start := newLimits(clock.RealClock{}), time.Now()
		const waiting = requestsPerSecond * int(maxDelay/time.Second)
		answers := make(chan bool, waiting+burst)
		for range burst + waiting {
			go func() { answers <- limits.wait(t.Context(), receiverKey("/hook/a")) }()
		}
		synctest.Wait()
		if len(answers) != burst {
			t.Errorf("%d are answered at once, want %d", len(answers), burst)
		}
		if limits.wait(t.Context(), receiverKey("/hook/a")) {
			t.Error("a request that would wait too long is let in")
		}
		if !limits.wait(t.Context(), receiverKey("/hook/b")) {
			t.Error("a burst for one receiver holds up another")
		}
		for range burst + waiting {
			if !<-answers {
				t.Fatal("a request that waits is refused")
			}
		}
		if took := time.Since(start); took != maxDelay {
			t.Errorf("the last one waited for %s, want %s", took, maxDelay)
		}
	})
}

func TestARequestWhoseSenderHangsUpDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newLimits(clock.RealClock{})
		for range burst {
			limits.wait(t.Context(), receiverKey("/hook/a"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if limits.wait(ctx, receiverKey("/hook/a")) {
			t.Error("it is admitted")
		}
		start := time.Now()
		if !limits.wait(t.Context(), receiverKey("/hook/a")) || time.Since(start) != time.Second/requestsPerSecond {
			t.Errorf("the next one waited for %s", time.Since(start))
		}
	})
}

func TestManyReceiversDoNotMakeTheLimitsOfOthersForgotten(t *testing.T) {
	tests := map[string]struct{ used, flood func(i int) limitKey }{
		"receivers push out no receiver in use":        {func(int) limitKey { return receiverKey("/hook/ours") }, pathKey(receiverKey)},
		"attempts push out no attempts in use":         {func(int) limitKey { return attemptKey("/hook/ours") }, pathKey(attemptKey)},
		"receivers push out no namespace, used or not": {nil, pathKey(receiverKey)},
		"attempts push out no namespace, used or not":  {nil, pathKey(attemptKey)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			limits, key := newLimits(clock.RealClock{}), namespaceKey("theirs")
			if tc.used != nil {
				key = tc.used(0)
			}
			known := limits.limiter(key)
			for i := range 2 * maxLimits {
				limits.limiter(tc.flood(i))
				if tc.used != nil && i%100 == 0 {
					limits.limiter(key)
				}
			}
			if limits.limiter(key) != known {
				t.Errorf("the limiter of %s %s is forgotten", key.scope, key.name)
			}
			for scope, kept := range limits.byScope {
				if _, n := kept.Usage(); n > maxLimits {
					t.Errorf("%d limiters of a %s are kept, want %d at most", n, scope, maxLimits)
				}
			}
		})
	}
}

func pathKey(of func(string) limitKey) func(int) limitKey {
	return func(i int) limitKey { return of(fmt.Sprintf("/hook/%d", i)) }
}
