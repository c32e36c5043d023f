// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A namespace with many tasks at a host that is slow leaves slots to others.
func TestANamespaceHasAShareOfTheSlots(t *testing.T) {
	free := NewSlots(4, 2)
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
		slots := NewSlots(2, 1)
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
