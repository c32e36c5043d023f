// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"sync"
	"time"
)

// Group runs one call at a time for each key: who asks while a call for the same key is
// under way joins it. Each waits no longer than its own context, and leaves the call to
// the others.
//
//	Do      -> call under way? -> join it ---> its answer, or the end of the own context
//	           else            -> start one -> likewise
//	DoSince -> call under way that began too early? -> wait for its end, then as above
//
// An answer is for those who joined the call, who must not change it. A panic is an error,
// as of every task. Whoever has to have the answer later stores it in the call, and looks
// there first; with Do, in the call as well, since the one before may have stored it.
//
// The fields are set before the first call; the zero value is ready.
type Group[K comparable, V any] struct {
	// Timeout is how long a call goes on, whether or not somebody waits for it. Zero is for
	// as long as somebody does: when the last one leaves, the context of the call ends, and
	// nobody joins it any more.
	Timeout time.Duration

	mu    sync.Mutex
	calls map[K]*call[V]
	queue *Queue
}

// call is a task with those who wait for it.
type call[V any] struct {
	task    *Task[V]
	begun   time.Time // zero if the one who began it did not say
	waiting int
}

// Do returns what work comes to, or the call for the key that is under way. The context of
// the work has the values of ctx, but not its end.
func (g *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	return g.DoSince(ctx, key, time.Time{}, time.Time{}, work)
}

// DoSince is [Group.Do] for a caller at now whom a call that began before since would tell
// what may not be true any more: it waits for the end of that one, and for another. Of a
// since that is yet to come, now counts.
func (g *Group[K, V]) DoSince(
	ctx context.Context, key K, since, now time.Time, work func(context.Context) (V, error),
) (V, error) {
	if since.After(now) {
		since = now
	}
	for ctx.Err() == nil {
		c := g.join(ctx, key, now, work)
		if g.wait(ctx, key, c) && !c.begun.Before(since) {
			return c.task.Result()
		}
	}
	var none V
	return none, ctx.Err()
}

// join returns the call for a key, which it starts if there is none, for one more who waits.
func (g *Group[K, V]) join(ctx context.Context, key K, now time.Time, work func(context.Context) (V, error)) *call[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls == nil {
		g.calls, g.queue = map[K]*call[V]{}, NewQueue(NewSlots[string](0, 0))
	}
	c := g.calls[key]
	if c == nil {
		c = &call[V]{begun: now}
		g.calls[key] = c
		c.task = Start(context.WithoutCancel(ctx), g.queue, "", g.bounded(work), func(V, error) { g.remove(key, c) })
	}
	c.waiting++
	return c
}

// bounded is work that ends with the timeout.
func (g *Group[K, V]) bounded(work func(context.Context) (V, error)) func(context.Context) (V, error) {
	if g.Timeout == 0 {
		return work
	}
	return func(ctx context.Context) (V, error) {
		ctx, cancel := context.WithTimeout(ctx, g.Timeout)
		defer cancel()
		return work(ctx)
	}
}

// wait reports whether a call is done, or the caller left before it was.
func (g *Group[K, V]) wait(ctx context.Context, key K, c *call[V]) bool {
	defer g.leave(key, c)
	select {
	case <-c.task.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

// leave ends a call that nobody waits for, unless it has a time of its own.
func (g *Group[K, V]) leave(key K, c *call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting == 0 && g.Timeout == 0 {
		c.task.Cancel()
		g.drop(key, c)
	}
}

func (g *Group[K, V]) remove(key K, c *call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(key, c)
}

// drop makes the next one who asks begin another call. The lock is held.
func (g *Group[K, V]) drop(key K, c *call[V]) {
	if g.calls[key] == c {
		delete(g.calls, key)
	}
}
