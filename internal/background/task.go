// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultPatience is how long a worker waits for one task at a host that is not known
// to be slow. Most tasks are done within it, and then the run needs no second one.
const DefaultPatience = 100 * time.Millisecond

// Lane is a queue for one host: its slots, and whether it keeps callers waiting.
type Lane struct {
	slots *Slots
	late  atomic.Int64 // tasks that a caller gave up waiting for
}

// NewLane returns a lane over slots, which lanes may share.
func NewLane(slots *Slots) *Lane { return &Lane{slots: slots} }

// Slow reports whether a task of the lane takes longer than its caller waited.
func (l *Lane) Slow() bool { return l.late.Load() > 0 }

// Idle reports whether the lane has no task.
func (l *Lane) Idle() bool { return l.slots.Idle() && !l.Slow() }

// Task is one piece of work in a lane.
type Task[V any] struct {
	lane    *Lane
	cancel  context.CancelFunc
	started atomic.Bool
	done    chan struct{}

	mu          sync.Mutex
	ended, late bool

	// Set before the task has ended.
	value V
	err   error
}

// Start runs work in a goroutine of its own as soon as the lane has a slot for the
// namespace, and then calls finish with the result. Both run without the caller's
// locks; a caller that holds the lock which finish takes has the task before finish
// runs. The context is the one of the process and ends the task.
func Start[V any](
	ctx context.Context, lane *Lane, namespace string, work func(context.Context) (V, error), finish func(V, error),
) *Task[V] {
	ctx, cancel := context.WithCancel(ctx)
	t := &Task[V]{lane: lane, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		t.err = Try(ctx, func() (err error) {
			if err := lane.slots.Acquire(ctx, namespace); err != nil {
				return err
			}
			defer lane.slots.Release(namespace)
			t.started.Store(true)
			t.value, err = work(ctx)
			return err
		})
		t.end()
		finish(t.value, t.err)
		close(t.done)
	}()
	return t
}

// end notes that the work is done.
func (t *Task[V]) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.late {
		t.lane.late.Add(-1)
	}
}

// Wait waits for the task for as long as the patience, or not at all where the lane is
// slow. It reports whether the task is done; if it is not, the lane is slow until it is.
func (t *Task[V]) Wait(ctx context.Context, patience time.Duration) bool {
	if !t.lane.Slow() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-t.done:
			return true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	select {
	case <-t.done:
		return true
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && !t.late {
		t.late = true
		t.lane.late.Add(1)
	}
	return false
}

// Started reports whether the task had a slot, and so may have asked its host already.
func (t *Task[V]) Started() bool { return t.started.Load() }

// Cancel ends the context of the task.
func (t *Task[V]) Cancel() { t.cancel() }
