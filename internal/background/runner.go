// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors of [Runner.Run].
var (
	// ErrPending means that a task is not done yet.
	ErrPending = errors.New("a background task is not done yet")
	// ErrBusy means that the runner has as many tasks as it may have, in all or of the
	// namespace.
	ErrBusy = errors.New("too many background tasks")
)

// Runner runs one task at a time for each key. Its fields are set before the first
// Run; the zero value waits for no task, has no limits and wakes nobody. It is no [Group],
// since a result stays until somebody collects it and counts for the limits until then.
type Runner[K comparable, V any] struct {
	// Patience is how long Run waits for a task; see [DefaultPatience].
	Patience time.Duration
	// PerHost is how many tasks run at once at one host, and PerNamespace how many of
	// them for one namespace; zero is no limit.
	PerHost, PerNamespace int
	// Limit is how many tasks there may be, running, waiting for a slot, or done and
	// not collected; zero is no limit. A namespace may have half of them, rounded up:
	// servers that never answer it leave room for the tasks of others.
	Limit int
	// Keep is how long after its request the result of a late task counts; zero is
	// for as long as it takes. What nobody came for is not true for ever.
	Keep time.Duration
	// Wake is called when a task is done that nobody waits for any more, unless it
	// was forgotten or replaced.
	Wake func(K)

	mu    sync.Mutex
	tasks map[K]*entry[K, V]
	held  map[string]int // tasks by namespace; without those that have none
	hosts map[string]*host
}

// Request is what a task is for.
type Request[K comparable] struct {
	// Key is the object or the question. A request for another input takes the place
	// of the task that the key had before, which is cancelled.
	Key   K
	Input string
	// Namespace is whose share of the slots the task takes.
	Namespace string
	// Host is the server that the task waits for, with the proxy before it if there is
	// one.
	Host string
	// Now is the time of the request.
	Now time.Time
}

// Result is what a late task came to.
type Result[V any] struct {
	Value V
	Err   error
	// Input is what the request was for.
	Input string
	// Again says that [Runner.Repeat] was called meanwhile.
	Again bool
}

// entry is a task with its request.
type entry[K comparable, V any] struct {
	Request[K]
	task               *Task[V]
	late, again, ended bool
}

// host has the queues of its namespaces, which share its slots.
type host struct {
	slots  *Slots[string]
	queues map[string]*Queue
	users  int
}

// Run runs work for a request, joins the task that does the same already, or returns
// what that one came to meanwhile. The error is [ErrPending] when the task takes longer
// than the patience.
func (r *Runner[K, V]) Run(ctx context.Context, req Request[K], work func(context.Context) (V, error)) (V, error) {
	e, err := r.join(ctx, req, work)
	if err != nil {
		var none V
		return none, err
	}
	e.task.Wait(ctx, r.Patience)
	return r.result(e)
}

// Collect takes the result of a late task. It reports false if there is none: no task,
// or one that is under way.
func (r *Runner[K, V]) Collect(key K) (Result[V], bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.tasks[key]
	if e == nil || !e.ended {
		return Result[V]{}, false
	}
	r.drop(e)
	return Result[V]{Value: e.task.value, Err: e.task.err, Input: e.Input, Again: e.again}, true
}

// Repeat reports whether the key has a task under way, and notes for the one who
// collects its result that it was wanted again meanwhile.
func (r *Runner[K, V]) Repeat(key K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.tasks[key]
	if e == nil || e.ended {
		return false
	}
	e.again = true
	return true
}

// Has reports whether the key has a task under way or a result.
func (r *Runner[K, V]) Has(key K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks[key] != nil
}

// Cancel ends the context of the key's task. Its result is there to be collected.
func (r *Runner[K, V]) Cancel(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.tasks[key]; e != nil {
		e.task.Cancel()
	}
}

// Forget cancels the key's task and drops its result.
func (r *Runner[K, V]) Forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.tasks[key]; e != nil {
		e.task.Cancel()
		r.drop(e)
	}
}

// join returns the task for a request, which it starts if need be.
func (r *Runner[K, V]) join(ctx context.Context, req Request[K], work func(context.Context) (V, error)) (*entry[K, V], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.tasks[req.Key]; known != nil {
		if known.Input == req.Input && r.counts(known, req.Now) {
			return known, nil
		}
		known.task.Cancel()
		r.drop(known)
	}
	if err := r.checkCapacity(req.Namespace); err != nil {
		return nil, err
	}
	if r.tasks == nil {
		r.tasks, r.held, r.hosts = map[K]*entry[K, V]{}, map[string]int{}, map[string]*host{}
	}
	e := &entry[K, V]{Request: req}
	r.tasks[req.Key] = e
	r.held[req.Namespace]++
	e.task = Start(ctx, r.queue(req), req.Namespace, work, func(V, error) { r.finish(e) })
	return e, nil
}

// checkCapacity is an error that is [ErrBusy] if there may be no further task of a namespace. The
// lock is held.
func (r *Runner[K, V]) checkCapacity(namespace string) error {
	switch share := (r.Limit + 1) / 2; {
	case r.Limit <= 0:
		return nil
	case len(r.tasks) >= r.Limit:
		return ErrBusy
	case r.held[namespace] >= share:
		return fmt.Errorf("%w: namespace %q has %d, which is its share", ErrBusy, namespace, share)
	}
	return nil
}

// drop takes a task from those that count. The lock is held.
func (r *Runner[K, V]) drop(e *entry[K, V]) {
	delete(r.tasks, e.Key)
	if r.held[e.Namespace]--; r.held[e.Namespace] == 0 {
		delete(r.held, e.Namespace)
	}
}

// counts reports whether a task is under way, or its result is young enough. The lock
// is held.
func (r *Runner[K, V]) counts(e *entry[K, V], now time.Time) bool {
	return !e.ended || r.Keep == 0 || now.Sub(e.Now) < r.Keep
}

// queue counts a task to its host. The lock is held.
func (r *Runner[K, V]) queue(req Request[K]) *Queue {
	at := r.hosts[req.Host]
	if at == nil {
		at = &host{slots: NewSlots[string](r.PerHost, r.PerNamespace), queues: map[string]*Queue{}}
		r.hosts[req.Host] = at
	}
	at.users++
	queue := at.queues[req.Namespace]
	if queue == nil {
		queue = NewQueue(at.slots)
		at.queues[req.Namespace] = queue
	}
	return queue
}

// finish notes that a task is done, and wakes those who do not wait for it any more.
func (r *Runner[K, V]) finish(e *entry[K, V]) {
	r.mu.Lock()
	e.ended = true
	at := r.hosts[e.Host]
	if at.users--; at.users == 0 {
		delete(r.hosts, e.Host)
	}
	wake := r.Wake
	if !e.late || r.tasks[e.Key] != e {
		wake = nil
	}
	r.mu.Unlock()
	if wake != nil {
		wake(e.Key)
	}
}

// result returns the result of a task, or that it is not done.
func (r *Runner[K, V]) result(e *entry[K, V]) (V, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !e.ended {
		e.late = true
		var none V
		return none, ErrPending
	}
	if r.tasks[e.Key] == e {
		r.drop(e)
	}
	return e.task.value, e.task.err
}
