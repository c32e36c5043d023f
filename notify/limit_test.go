// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
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
