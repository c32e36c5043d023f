// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/test/runnable"
)

func TestDeliveriesForAReceiverKeepTheirOrder(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	var got, want []int
	for i := range 10 {
		want = append(want, i)
		if !o.Put("apps", "receiver", func(context.Context) { got = append(got, i) }) {
			t.Fatal("no room")
		}
	}
	runnable.Start(t, o)() // what was put before it started is delivered, and before it ends
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAReceiverThatHangsDelaysNoOther(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	stop := runnable.Start(t, o)
	hang, free := make(chan struct{}), make(chan struct{})
	o.Put("apps", "slow", func(context.Context) { <-hang })
	o.Put("apps", "quick", func(context.Context) { close(free) })
	<-free
	close(hang)
	stop()
}

func TestAReceiverWhoseQueueWasEmptyIsServedAgain(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	defer runnable.Start(t, o)()
	for range 100 {
		done := make(chan struct{})
		o.Put("apps", "receiver", func(context.Context) { close(done) })
		<-done
	}
}

func TestAFullQueueOfAReceiverTakesNoMore(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	taken := 0
	for o.Put("apps", "receiver", func(context.Context) {}) {
		taken++
	}
	if taken != 64 {
		t.Errorf("%d were taken", taken)
	}
	if !o.Put("apps", "other", func(context.Context) {}) {
		t.Error("the queue of another receiver is full, too")
	}
}

func TestANamespaceWhoseReceiversDoNotAnswerLeavesRoomForOthers(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	fill := func(namespace string) (taken int) {
		for o.Put(namespace, string(rune('a'+taken)), func(context.Context) {}) {
			taken++
		}
		return taken
	}
	if taken := fill("busy"); taken != 512 {
		t.Errorf("%d were taken of one namespace", taken)
	}
	if !o.Put("other", "receiver", func(context.Context) {}) {
		t.Error("another namespace has no room")
	}
	all := 513
	for i := range 40 {
		all += fill(string(rune('A' + i)))
	}
	if all != 16384 {
		t.Errorf("%d were taken of all", all)
	}
	runnable.Start(t, o)()
	if o := webhook.NewQueue(clock.RealClock{}); !o.Put("busy", "a", func(context.Context) {}) {
		t.Error("there is no room in an empty one")
	}
}

func TestADeliveryThatPanicsEndsNothingElse(t *testing.T) {
	o := webhook.NewQueue(clock.RealClock{})
	delivered := false
	o.Put("apps", "receiver", func(context.Context) { panic("no such channel") })
	o.Put("apps", "receiver", func(context.Context) { delivered = true })
	runnable.Start(t, o)()
	if !delivered {
		t.Error("the next delivery is lost")
	}
}

func TestTheEndOfTheProcessCutsOffADeliveryThatTakesTooLong(t *testing.T) {
	o := webhook.NewQueue(&instantClock{}) // the time for the rest is over at once
	stop := runnable.Start(t, o)
	began, cut := make(chan struct{}), false
	o.Put("apps", "receiver", func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		cut = true
	})
	o.Put("apps", "receiver", func(context.Context) { t.Error("a delivery began after the end") })
	<-began
	stop()
	if !cut {
		t.Error("the delivery was not cut off")
	}
	if o.Put("apps", "receiver", func(context.Context) {}) {
		t.Error("something was taken after the end")
	}
}
