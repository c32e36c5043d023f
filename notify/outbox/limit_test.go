// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// limited is a handler for a forge that takes some entries a minute, and for a chat that takes all.
type limited struct {
	mu        sync.Mutex
	clock     clock.PassiveClock
	perMinute int
	sent      []time.Time
	refused   int
	delivered map[string]time.Time
	dropped   []string
	fails     func(Entry) error
}

func (l *limited) Deliver(_ context.Context, e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if e.Receiver == "forge" {
		if n := len(l.sent); n >= l.perMinute && now.Sub(l.sent[n-l.perMinute]) < time.Minute {
			l.refused++
			return &Temporary{
				Err: errors.New("too many requests"), After: l.sent[n-l.perMinute].Add(time.Minute).Sub(now), Limited: true,
			}
		}
		l.sent = append(l.sent, now)
	}
	if l.fails != nil {
		if err := l.fails(e); err != nil {
			return err
		}
	}
	l.delivered[e.ID] = now
	return nil
}

func (l *limited) Failed(_ context.Context, e Entry, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = append(l.dropped, e.ID)
}

func newLimited(t *testing.T, perMinute int) (*limited, *Outbox, *clocktesting.FakeClock) {
	t.Helper()
	c := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	o, err := Open(t.TempDir(), c, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	h := &limited{clock: c, perMinute: perMinute, delivered: map[string]time.Time{}}
	o.Handle("test", h)
	return h, o, c
}

func (l *limited) put(t *testing.T, o *Outbox, to, id string) {
	t.Helper()
	if err := o.Put(Entry{ID: id, Kind: "test", Namespace: "apps", Receiver: to, Order: id, Body: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
}

// deliverAll lets time pass until nothing waits.
func deliverAll(t *testing.T, o *Outbox, c *clocktesting.FakeClock, within time.Duration) {
	t.Helper()
	var running sync.WaitGroup
	for end := c.Now().Add(within); o.Waiting() > 0; {
		wait := o.dispatch(t.Context(), &running)
		running.Wait()
		if c.Now().After(end) {
			t.Fatalf("%d wait after %s", o.Waiting(), within)
		}
		c.Step(min(wait, time.Second))
	}
}

// Those that a limit of a forge held up for an hour were dropped as too old, and until then all of
// them asked each minute, at the cost of what their namespace may begin.
func TestWhatALimitHoldsUpIsNotDroppedAndHoldsUpNobody(t *testing.T) {
	h, o, c := newLimited(t, 4)
	began := c.Now()
	for i := range 600 {
		h.put(t, o, "forge", fmt.Sprint("status-", i))
	}
	h.put(t, o, "chat", "hello")
	deliverAll(t, o, c, 4*time.Hour)
	if len(h.delivered) != 601 || len(h.dropped) > 0 {
		t.Errorf("delivered %d of 601, dropped %d", len(h.delivered), len(h.dropped))
	}
	if took := h.delivered["hello"].Sub(began); took > time.Minute {
		t.Errorf("the chat waited for %s", took)
	}
	if h.refused > 2*600 {
		t.Errorf("asked %d times in vain", h.refused)
	}
	if len(o.receivers) != 0 {
		t.Errorf("receivers are remembered: %v", o.receivers)
	}
}

func TestWhatALimitHeldUpIsTriedForAnHourAfterwards(t *testing.T) {
	h, o, c := newLimited(t, 1)
	var first time.Time
	attempts := 0
	h.fails = func(Entry) error {
		h.sent = nil
		if attempts++; attempts == 1 {
			first = c.Now()
		}
		return &Temporary{Err: errors.New("down")}
	}
	began := c.Now()
	h.sent = []time.Time{began.Add(89 * time.Minute)}
	h.put(t, o, "forge", "broken")
	deliverAll(t, o, c, 6*time.Hour)
	if len(h.dropped) != 1 || h.dropped[0] != "broken" {
		t.Fatalf("dropped %v", h.dropped)
	}
	if first.Sub(began) < time.Hour || attempts < 3 {
		t.Errorf("it was tried %d times, first after %s", attempts, first.Sub(began))
	}
}

// What was put during a pause was dropped after the first failure that followed: the pause counted.
func TestWhatIsPutDuringAPauseIsTriedForAnHourAfterIt(t *testing.T) {
	h, o, c := newLimited(t, 1)
	h.put(t, o, "forge", "first")
	deliverAll(t, o, c, time.Minute)
	h.sent = []time.Time{c.Now().Add(59 * time.Minute)} // the forge takes nothing for an hour
	h.put(t, o, "forge", "second")
	var running sync.WaitGroup
	o.dispatch(t.Context(), &running)
	running.Wait()
	c.Step(time.Second)
	h.put(t, o, "forge", "third")
	failures := map[string]int{}
	h.fails = func(e Entry) error {
		if failures[e.ID]++; failures[e.ID] > 4 {
			return nil
		}
		h.sent = nil
		return &Temporary{Err: errors.New("bad gateway")}
	}
	deliverAll(t, o, c, 2*time.Hour)
	if len(h.delivered) != 3 || len(h.dropped) > 0 {
		t.Errorf("delivered %v, dropped %v", h.delivered, h.dropped)
	}
}

// After a restart nobody knew of the pauses before it, and the first failure ended what had waited for them.
func TestWhatALimitHeldUpBeforeARestartIsTriedForAnHour(t *testing.T) {
	for name, tc := range map[string]struct {
		before  time.Duration
		dropped bool
	}{
		"hours":        {6 * time.Hour, false},
		"almost a day": {maxKept - time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, first, c := newLimited(t, 1)
			h := &limited{clock: c, perMinute: 1, delivered: map[string]time.Time{}}
			h.put(t, first, "forge", "status")
			c.Step(tc.before)
			o, err := Open(first.store.dir, c, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			o.Handle("test", h)
			attempts := 0
			h.fails = func(Entry) error {
				h.sent = nil
				if attempts++; attempts < 4 {
					return &Temporary{Err: errors.New("bad gateway")}
				}
				return nil
			}
			deliverAll(t, o, c, 2*time.Hour)
			if dropped := len(h.dropped) == 1; dropped != tc.dropped {
				t.Errorf("after %d attempts: delivered %v, dropped %v", attempts, h.delivered, h.dropped)
			}
		})
	}
}

func TestWhatALimitHoldsUpForADayIsDropped(t *testing.T) {
	h, o, c := newLimited(t, 1)
	h.put(t, o, "forge", "first")
	deliverAll(t, o, c, time.Minute)
	h.sent = []time.Time{c.Now().Add(48 * time.Hour)}
	h.put(t, o, "forge", "second")
	deliverAll(t, o, c, 26*time.Hour)
	if len(h.dropped) != 1 {
		t.Errorf("dropped %v", h.dropped)
	}
}

// The statuses that waited for the limit of a forge took all the room of their namespace, for up to a
// day: whatever else happened there was told to nobody.
func TestABacklogLeavesRoomForOtherReceivers(t *testing.T) {
	for name, tc := range map[string]struct {
		body             json.RawMessage
		receivers, taken int
	}{
		"half of the entries":          {json.RawMessage(`1`), 1, namespaceEntries / 2},
		"half of the bytes":            {json.RawMessage(`"` + strings.Repeat("x", 128<<10-2) + `"`), 1, namespaceBytes / 2 / (128 << 10)},
		"less where several have many": {json.RawMessage(`1`), 3, namespaceEntries / 4},
	} {
		t.Run(name, func(t *testing.T) {
			h, o, c := newLimited(t, namespaceEntries)
			entry := Entry{Kind: "test", Namespace: "apps", Body: tc.body}
			for i := range namespaceEntries {
				for to := range tc.receivers {
					entry.ID, entry.Receiver = fmt.Sprintf("status-%d-%d", to, i), fmt.Sprint("forge-", to)
					if err := o.Put(entry); err != nil && !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
				}
			}
			for to, held := range o.usage["apps"].held {
				if held.entries != tc.taken {
					t.Errorf("%d wait for %s", held.entries, to)
				}
			}
			entry.ID, entry.Receiver = "hello", "chat"
			if err := o.Put(entry); err != nil {
				t.Fatal(err)
			}
			deliverAll(t, o, c, time.Hour)
			if want := tc.receivers*tc.taken + 1; len(h.delivered) != want {
				t.Errorf("delivered %d of %d", len(h.delivered), want)
			}
			if held := o.usageOf("apps").held; len(held) != 0 {
				t.Errorf("what was delivered is counted: %v", held)
			}
		})
	}
}

// The newest status of a commit waited for all that it had outdated, hours where the forge has a limit.
func TestAStatusThatWaitsIsReplacedByTheNext(t *testing.T) {
	h, o, c := newLimited(t, namespaceEntries)
	put := func(id, replaces string) {
		t.Helper()
		e := Entry{ID: id, Kind: "test", Namespace: "apps", Receiver: "forge", Order: "app", Replaces: replaces, Body: json.RawMessage(`{}`)}
		if err := o.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	put("under way", "commit-1")
	o.queues[queueKey("forge", "app")].running = true
	put("outdated", "commit-1")
	put("another commit", "commit-2")
	put("something else", "")
	put("something else again", "")
	for i := range namespaceEntries/2 - 5 {
		h.put(t, o, "forge", fmt.Sprint("filler-", i))
	}
	for i := range 20 { // there is no room but that of what is outdated
		put(fmt.Sprint("outdated-", i), "commit-1")
	}
	put("last", "commit-1")
	o.queues[queueKey("forge", "app")].running = false
	if files, err := os.ReadDir(o.store.dir); err != nil || len(files) != namespaceEntries/2 {
		t.Errorf("%d files, %v", len(files), err)
	}
	deliverAll(t, o, c, time.Hour)
	maps.DeleteFunc(h.delivered, func(id string, _ time.Time) bool { return strings.HasPrefix(id, "filler-") })
	want := []string{"another commit", "last", "something else", "something else again", "under way"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(h.delivered))); diff != "" {
		t.Error(diff)
	}
	if held := o.usageOf("apps"); held.entries != 0 || held.bytes != 0 || len(held.held) != 0 || len(o.ids) != 0 {
		t.Errorf("what was replaced is counted: %+v, %v", held, o.ids)
	}
}
