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
		const waiting = perSecond * int(patience/time.Second)
		answers := make(chan bool, waiting+burst)
		for range burst + waiting {
			go func() { answers <- limits.wait(t.Context(), oneReceiver("/hook/a")) }()
		}
		synctest.Wait()
		if len(answers) != burst {
			t.Errorf("%d are answered at once, want %d", len(answers), burst)
		}
		if limits.wait(t.Context(), oneReceiver("/hook/a")) {
			t.Error("a request that would wait too long is let in")
		}
		if !limits.wait(t.Context(), oneReceiver("/hook/b")) {
			t.Error("a burst for one receiver holds up another")
		}
		for range burst + waiting {
			if !<-answers {
				t.Fatal("a request that waits is refused")
			}
		}
		if took := time.Since(start); took != patience {
			t.Errorf("the last one waited for %s, want %s", took, patience)
		}
	})
}

func TestASenderThatHangsUpGivesItsTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newLimits(clock.RealClock{})
		for range burst {
			limits.wait(t.Context(), oneReceiver("/hook/a"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if limits.wait(ctx, oneReceiver("/hook/a")) {
			t.Error("it gets a turn")
		}
		start := time.Now()
		if !limits.wait(t.Context(), oneReceiver("/hook/a")) || time.Since(start) != time.Second/perSecond {
			t.Errorf("the next one waited for %s", time.Since(start))
		}
	})
}
