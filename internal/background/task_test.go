// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestAQueueIsSlowUntilItsLateTaskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, end := NewQueue(NewSlots[string](0, 0)), make(chan struct{})
		task := Start(t.Context(), queue, "apps", until(end, "value"), func(string, error) {})
		if queue.Slow() || task.Wait(t.Context(), 0) || !queue.Slow() {
			t.Error("a task that nobody waits for any more does not make its queue slow")
		}
		task.Wait(t.Context(), 0) // counts once
		close(end)
		synctest.Wait()
		if queue.Slow() || !queue.Idle() || !task.Wait(t.Context(), 0) {
			t.Error("the queue is slow although its task has ended")
		}
	})
}

func TestAFreeSlotGoesToTheNamespaceWithTheFewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots, got := NewSlots[string](2, 0), make(chan string, 10)
		acquire := func(namespace string) {
			go func() {
				if slots.Acquire(context.Background(), namespace) == nil {
					got <- namespace
				}
			}()
			synctest.Wait()
		}
		for _, namespace := range []string{"busy", "busy", "busy", "modest"} {
			acquire(namespace)
		}
		<-got
		<-got
		slots.Release("busy")
		if next := <-got; next != "modest" {
			t.Errorf("the slot went to %s, which was first but has another", next)
		}
		slots.Release("busy")
		slots.Release("modest")
		<-got
		slots.Release("busy")
	})
}
