package webhook_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/webhook"
)

// start runs an outbox; stop asks it to end and waits until it has.
func start(t *testing.T, o *webhook.Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Start(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestALaneKeepsItsOrder(t *testing.T) {
	o := webhook.NewOutbox(clock.RealClock{})
	var got, want []int
	for i := range 10 {
		want = append(want, i)
		if !o.Put("lane", func(context.Context) { got = append(got, i) }) {
			t.Fatal("no room")
		}
	}
	start(t, o)() // what was put before it started is delivered, and before it ends
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestALaneThatHangsHoldsUpNoOther(t *testing.T) {
	o := webhook.NewOutbox(clock.RealClock{})
	stop := start(t, o)
	hang, free := make(chan struct{}), make(chan struct{})
	o.Put("slow", func(context.Context) { <-hang })
	o.Put("quick", func(context.Context) { close(free) })
	<-free
	close(hang)
	stop()
}

func TestALaneIsUsedAgain(t *testing.T) {
	o := webhook.NewOutbox(clock.RealClock{})
	defer start(t, o)()
	for range 100 {
		done := make(chan struct{})
		o.Put("lane", func(context.Context) { close(done) })
		<-done
	}
}

func TestAFullLaneTakesNoMore(t *testing.T) {
	o := webhook.NewOutbox(clock.RealClock{})
	taken := 0
	for o.Put("lane", func(context.Context) {}) {
		taken++
	}
	if taken != 64 {
		t.Errorf("%d were taken", taken)
	}
	if !o.Put("other", func(context.Context) {}) {
		t.Error("another lane is full, too")
	}
}

func TestAFullOutboxTakesNoMore(t *testing.T) {
	o := webhook.NewOutbox(clock.RealClock{})
	taken := 0
	for o.Put(string(rune('a'+taken)), func(context.Context) {}) {
		taken++
	}
	if taken != 4096 {
		t.Errorf("%d were taken", taken)
	}
}

func TestTheEndWaitsForLastWordsButNotForLong(t *testing.T) {
	o := webhook.NewOutbox(&eager{}) // for whom the time is over at once
	stop := start(t, o)
	began, cut := make(chan struct{}), false
	o.Put("lane", func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		cut = true
	})
	o.Put("lane", func(context.Context) { t.Error("a delivery began after the end") })
	<-began
	stop()
	if !cut {
		t.Error("the delivery was not cut off")
	}
	if o.Put("lane", func(context.Context) {}) {
		t.Error("something was taken after the end")
	}
}
