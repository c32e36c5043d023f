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

// Queue is the work for one host: its slots, and whether it keeps callers waiting.
type Queue struct {
	slots *Slots[string] // by namespace
	late  atomic.Int64   // tasks that a caller gave up waiting for
}

// NewQueue returns a queue over slots, which queues may share.
func NewQueue(slots *Slots[string]) *Queue { return &Queue{slots: slots} }

// Slow reports whether a task of the queue takes longer than its caller waited.
func (q *Queue) Slow() bool { return q.late.Load() > 0 }

// Idle reports whether the queue has no task.
func (q *Queue) Idle() bool { return q.slots.Idle() && !q.Slow() }

// Task is one piece of work in a queue.
type Task[V any] struct {
	queue   *Queue
	cancel  context.CancelFunc
	started atomic.Bool
	done    chan struct{}

	mu          sync.Mutex
	ended, late bool

	// Set before the task has ended.
	value V
	err   error
}

// Start runs work in a goroutine of its own as soon as the queue has a slot for the
// namespace, and then calls finish with the result. Both run without the caller's
// locks; a caller that holds the lock which finish takes has the task before finish
// runs. The context is the one of the process and ends the task.
func Start[V any](
	ctx context.Context, queue *Queue, namespace string, work func(context.Context) (V, error), finish func(V, error),
) *Task[V] {
	ctx, cancel := context.WithCancel(ctx)
	t := &Task[V]{queue: queue, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer cancel()
		t.err = Try(ctx, func() (err error) {
			if err := queue.slots.Acquire(ctx, namespace); err != nil {
				return err
			}
			defer queue.slots.Release(namespace)
			t.started.Store(true)
			t.value, err = work(ctx)
			return err
		})
		t.finish()
		finish(t.value, t.err)
		close(t.done)
	}()
	return t
}

// finish notes that the work is done.
func (t *Task[V]) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.late {
		t.queue.late.Add(-1)
	}
}

// Wait waits for the task for as long as the patience, or not at all where the queue is
// slow. It reports whether the task is done; if it is not, the queue is slow until it is.
func (t *Task[V]) Wait(ctx context.Context, patience time.Duration) bool {
	if !t.queue.Slow() {
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
		t.queue.late.Add(1)
	}
	return false
}

// Done is closed when the task is done.
func (t *Task[V]) Done() <-chan struct{} { return t.done }

// Result is what a task came to: once it is done, and for its finish.
func (t *Task[V]) Result() (V, error) { return t.value, t.err }

// Started reports whether the task had a slot, and so may have asked its host already.
func (t *Task[V]) Started() bool { return t.started.Load() }

// Cancel ends the context of the task.
func (t *Task[V]) Cancel() { t.cancel() }
