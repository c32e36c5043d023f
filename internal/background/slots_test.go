// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A namespace with many tasks at a host that is slow leaves slots to others.
func TestANamespaceHasAShareOfTheSlots(t *testing.T) {
	free := NewSlots[string](4, 2)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan string, 100)
	take := func(namespace string) {
		go func() {
			if free.Acquire(ctx, namespace) == nil {
				got <- namespace
			}
		}()
	}
	next := func() string {
		select {
		case namespace := <-got:
			return namespace
		case <-time.After(5 * time.Minute):
			t.Fatal("nobody got a slot")
			return ""
		}
	}
	for range 50 {
		take("greedy")
	}
	for range 2 {
		if who := next(); who != "greedy" {
			t.Fatalf("%s got a slot", who)
		}
	}
	for range 3 {
		take("modest")
		take("other")
	}
	counts := map[string]int{}
	for range 2 {
		counts[next()]++
	}
	if counts["greedy"] != 0 {
		t.Errorf("beyond its share: %v", counts)
	}
	cancel() // those that wait leave
	for namespace, n := range map[string]int{"greedy": 2, "modest": counts["modest"], "other": counts["other"]} {
		for range n {
			free.Release(namespace)
		}
	}
	deadline := time.After(5 * time.Minute)
	for !free.Idle() {
		select {
		case who := <-got: // was let in before it noticed
			free.Release(who)
		case <-deadline:
			t.Fatal("slots are not given back")
		default:
		}
	}
}

func TestANamespaceThatWaitsKeepsNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := NewSlots[string](2, 1)
		ctx, cancel := context.WithCancel(t.Context())
		if err := slots.Acquire(ctx, "busy"); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			go func() {
				if slots.Acquire(ctx, "busy") == nil {
					slots.Release("busy")
				}
			}()
		}
		synctest.Wait()
		if err := slots.Acquire(ctx, "other"); err != nil {
			t.Fatal(err)
		}
		slots.Release("other")
		cancel()
		synctest.Wait()
		slots.Release("busy")
		if !slots.Idle() || len(slots.held)+len(slots.waiting) != 0 {
			t.Errorf("namespaces are remembered: %v, %v", slots.held, slots.waiting)
		}
	})
}

func TestOneAtATimeForAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type branch struct{ remote, name string }
		main, other := branch{"a", "main"}, branch{"a", "other"}
		locks := NewSlots[branch](0, 1)
		for _, b := range []branch{main, other} {
			if err := locks.Acquire(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		late := errors.New("late")
		ctx, cancel := context.WithCancelCause(t.Context())
		left, next := make(chan error), make(chan error)
		go func() { left <- locks.Acquire(ctx, main) }()
		go func() { next <- locks.Acquire(t.Context(), main) }()
		synctest.Wait()
		cancel(late)
		if err := <-left; !errors.Is(err, late) {
			t.Errorf("who waited for too long: %v", err)
		}
		locks.Release(main)
		if err := <-next; err != nil {
			t.Errorf("the next one: %v", err)
		}
		locks.Release(main)
		locks.Release(other)
		if !locks.Idle() || len(locks.held)+len(locks.waiting) != 0 {
			t.Errorf("keys are remembered: %v, %v", locks.held, locks.waiting)
		}
	})
}

func TestASlotIsTakenWithoutAWaitOnlyIfOneIsFree(t *testing.T) {
	for name, tc := range map[string]struct {
		total, perKey int
		held          []string
		want          bool
	}{
		"no limits":             {held: []string{"a", "a", "b"}, want: true},
		"room in all":           {total: 2, held: []string{"a"}, want: true},
		"no room in all":        {total: 2, held: []string{"a", "b"}},
		"room of the key":       {perKey: 2, held: []string{"a", "b", "b"}, want: true},
		"no room of the key":    {perKey: 2, held: []string{"a", "a"}},
		"room of the key alone": {total: 1, perKey: 2, held: []string{"b"}},
	} {
		slots := NewSlots[string](tc.total, tc.perKey)
		for _, key := range tc.held {
			if !slots.TryAcquire(key) {
				t.Fatalf("%s: there is no slot for %s", name, key)
			}
		}
		if got := slots.TryAcquire("a"); got != tc.want {
			t.Errorf("%s: got one: %t", name, got)
		}
		if !tc.want {
			slots.Release(tc.held[0])
			if again := slots.TryAcquire(tc.held[0]); !again {
				t.Errorf("%s: what was given back is not free", name)
			}
		}
	}
}
