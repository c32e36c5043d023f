// SPDX-License-Identifier: Apache-2.0

package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/runnable"
)

// receiver is a handler that answers by a script, and notes what it was given.
type receiver struct {
	mu      sync.Mutex
	got     []string
	dropped []string
	answer  func(id string, attempt int) error
	told    chan struct{}
}

func newReceiver(answer func(id string, attempt int) error) *receiver {
	return &receiver{answer: answer, told: make(chan struct{}, 100_000)}
}

func (r *receiver) Deliver(_ context.Context, e outbox.Entry) error {
	r.mu.Lock()
	r.got = append(r.got, e.ID)
	attempt := len(slices.DeleteFunc(slices.Clone(r.got), func(id string) bool { return id != e.ID }))
	r.mu.Unlock()
	defer func() { r.told <- struct{}{} }()
	if r.answer == nil {
		return nil
	}
	return r.answer(e.ID, attempt)
}

func (r *receiver) Failed(_ context.Context, e outbox.Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, e.ID+": "+err.Error())
}

func (r *receiver) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func open(t *testing.T, dir string, c clock.Clock, r *receiver) *outbox.Outbox {
	t.Helper()
	o, err := outbox.Open(dir, c, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	o.Handle("test", r)
	return o
}

func put(t *testing.T, o *outbox.Outbox, namespace, to, id string) {
	t.Helper()
	body, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Put(outbox.Entry{ID: id, Kind: "test", Namespace: namespace, Receiver: to, Order: to, Body: body}); err != nil {
		t.Fatal(err)
	}
}

func wait(t *testing.T, r *receiver, times int) {
	t.Helper()
	for range times {
		select {
		case <-r.told:
		case <-t.Context().Done():
			t.Fatal("nothing was delivered")
		}
	}
}

func TestARestartLosesNothing(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, clock.RealClock{}, newReceiver(nil))
	for i := range 20 {
		put(t, first, "apps", "chat", fmt.Sprintf("message-%02d", i))
	}
	// The first process is killed: nobody stops it.
	r := newReceiver(nil)
	second := open(t, dir, clock.RealClock{}, r)
	stop := runnable.Start(t, second)
	wait(t, r, 20)
	stop()
	if got := r.seen(); !slices.IsSorted(got) || len(got) != 20 {
		t.Errorf("delivered %v", got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || second.Waiting() != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOneThatWaitsIsNotPutTwice(t *testing.T) {
	r := newReceiver(nil)
	o := open(t, t.TempDir(), clock.RealClock{}, r)
	put(t, o, "apps", "chat", "same")
	put(t, o, "apps", "chat", "same")
	runnable.Start(t, o)()
	if diff := cmp.Diff([]string{"same"}, r.seen()); diff != "" {
		t.Error(diff)
	}
}

// waitByClock waits for one attempt more, and lets time pass until it is made: one step may come
// before the outbox has noted when to try again, and would not be seen then.
func waitByClock(t *testing.T, c *clocktesting.FakeClock, r *receiver) {
	t.Helper()
	late, tick := time.After(5*time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		c.Step(10 * time.Second)
		select {
		case <-r.told:
			return
		case <-tick.C:
		case <-late:
			t.Fatal("nobody tries again")
		}
	}
}

func TestAFailureIsTriedAgainAndKeepsTheOrder(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	r := newReceiver(func(id string, attempt int) error {
		if id == "1" && attempt < 3 {
			return &outbox.Temporary{Err: errors.New("down")}
		}
		return nil
	})
	o := open(t, t.TempDir(), c, r)
	put(t, o, "apps", "status", "1")
	put(t, o, "apps", "status", "2")
	put(t, o, "apps", "other", "free")
	stop := runnable.Start(t, o)
	wait(t, r, 2) // the first attempt, and the other receiver
	for range 2 {
		waitByClock(t, c, r)
	}
	wait(t, r, 1)
	stop()
	got := slices.DeleteFunc(r.seen(), func(id string) bool { return id == "free" })
	if diff := cmp.Diff([]string{"1", "1", "1", "2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatNobodyCanDeliverIsDroppedAndTold(t *testing.T) {
	for name, tc := range map[string]struct {
		answer error
		age    time.Duration
		want   string
	}{
		"a refusal":                    {errors.New("no such channel"), 0, "1: no such channel"},
		"a receiver that is away long": {&outbox.Temporary{Err: errors.New("down")}, 2 * time.Hour, "1: down"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			r := newReceiver(func(string, int) error { return tc.answer })
			o := open(t, dir, c, r)
			put(t, o, "apps", "chat", "1")
			c.Step(tc.age)
			stop := runnable.Start(t, o)
			wait(t, r, 1)
			stop()
			if diff := cmp.Diff([]string{tc.want}, r.dropped); diff != "" {
				t.Error(diff)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestANamespaceWithoutRoomLeavesRoomForOthers(t *testing.T) {
	o := open(t, t.TempDir(), clock.RealClock{}, newReceiver(nil))
	taken := 0
	for ; taken < 10_000; taken++ {
		err := o.Put(outbox.Entry{
			ID: fmt.Sprint(taken), Kind: "test", Namespace: "busy", Receiver: fmt.Sprint(taken), Body: json.RawMessage(`1`),
		})
		if errors.Is(err, outbox.ErrFull) {
			break
		}
	}
	if taken != 2048 {
		t.Errorf("%d were taken of one namespace", taken)
	}
	put(t, o, "other", "r", "free")
}

func TestAReceiverThatHangsHoldsUpNobodyElse(t *testing.T) {
	hang := make(chan struct{})
	r := newReceiver(func(id string, _ int) error {
		if id == "free" {
			return nil
		}
		<-hang
		return nil
	})
	o := open(t, t.TempDir(), clock.RealClock{}, r)
	for i := range 100 {
		body := json.RawMessage(`1`)
		if err := o.Put(outbox.Entry{ID: fmt.Sprint(i), Kind: "test", Namespace: "busy", Receiver: fmt.Sprint("r", i), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, o, "other", "r", "free")
	stop := runnable.Start(t, o)
	wait(t, r, 1)
	if got := len(r.seen()); got > 9 {
		t.Errorf("%d deliveries of a namespace at once", got-1)
	}
	close(hang)
	stop()
}

func TestAHandlerThatPanicsEndsNothingElse(t *testing.T) {
	r := newReceiver(func(id string, _ int) error {
		if id == "bad" {
			panic("bad")
		}
		return nil
	})
	o := open(t, t.TempDir(), clock.RealClock{}, r)
	put(t, o, "apps", "r", "bad")
	put(t, o, "apps", "r", "good")
	stop := runnable.Start(t, o)
	wait(t, r, 2)
	stop()
	if len(r.dropped) != 1 {
		t.Errorf("dropped %v", r.dropped)
	}
}

func TestFilesThatAreBrokenAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"00000000000000000001-0000000000000000.json": "{", "00000000000000000002-0000000000000000.json": `{"id":"x"}`,
		"00000000000000000003-0000000000000000.json.new": "half",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := open(t, dir, clock.RealClock{}, newReceiver(nil))
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || o.Waiting() != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAFolderThatCannotBeWrittenLosesNothingWhileTheProcessRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	r := newReceiver(nil)
	o := open(t, dir, clock.RealClock{}, r)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	put(t, o, "apps", "r", "1")
	stop := runnable.Start(t, o)
	wait(t, r, 1)
	stop()
	if len(r.dropped) > 0 {
		t.Errorf("dropped %v", r.dropped)
	}
}
