// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-cd/sluice/internal/background"
)

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica delivers
// what it has taken.
func (o *Outbox) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. When ctx ends it goes on for a few seconds at most.
func (o *Outbox) Start(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	timer := o.clock.NewTimer(o.dispatch(working, &running))
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-o.changed:
		case <-timer.C():
		}
		timer.Reset(o.dispatch(working, &running))
	}
	o.drain(working, &running)
	stop()
	running.Wait()
	return nil
}

// drain delivers what is due, for drainTimeout at most.
func (o *Outbox) drain(ctx context.Context, running *sync.WaitGroup) {
	end := o.clock.NewTimer(drainTimeout)
	defer end.Stop()
	for o.busy() {
		o.dispatch(ctx, running)
		select {
		case <-o.changed:
		case <-end.C():
			return
		}
	}
}

// busy reports whether a delivery is under way or due.
func (o *Outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	for _, l := range o.lanes {
		if l.running || !l.notBefore.After(now) {
			return true
		}
	}
	return false
}

// idle is how long Start sleeps when nothing is due; it is woken by what is put.
const idle = time.Minute

// dispatch starts deliveries as far as shares and rates let it, each lane in its turn, and
// returns when to look again at the latest.
func (o *Outbox) dispatch(ctx context.Context, running *sync.WaitGroup) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, next := o.clock.Now(), idle
	var later []string // had their turn
	o.order = slices.DeleteFunc(o.order, func(key string) bool {
		l := o.lanes[key]
		if l.running || o.total.running >= maxRunning {
			return false
		}
		if wait := l.notBefore.Sub(now); wait > 0 {
			next = min(next, wait)
			return false
		}
		of := o.of(l.namespace)
		if of.running >= namespaceRunning || o.receivers[l.receiver] >= receiverRunning {
			return false // the end of another one looks again
		}
		if !of.limiter.AllowN(now, 1) {
			next = min(next, time.Second/namespaceRate)
			return false
		}
		l.running = true
		of.running++
		o.total.running++
		o.receivers[l.receiver]++
		first := l.waiting[0]
		running.Go(func() { o.deliver(ctx, key, first) })
		later = append(later, key)
		return true
	})
	o.order = append(o.order, later...)
	return next
}

// maxAttempt is how long one attempt may hold its place.
const maxAttempt = 2 * time.Minute

// deliver makes one attempt at the first entry of a lane.
func (o *Outbox) deliver(ctx context.Context, key string, k kept) {
	o.mu.Lock()
	handler := o.handlers[k.kind]
	o.mu.Unlock()
	e, err := o.store.read(k)
	if err == nil && handler == nil {
		err = fmt.Errorf("nobody delivers messages of kind %q in this process", k.kind)
	}
	if err == nil {
		attempt, cancel := context.WithTimeout(ctx, maxAttempt)
		err = background.Try(attempt, func() error { return handler.Deliver(attempt, e) })
		cancel()
	}
	if ctx.Err() != nil && err != nil {
		o.settle(key, false, 0) // it is in its file
		return
	}
	var temporary *Temporary
	again := errors.As(err, &temporary) && o.clock.Since(k.added) < maxAge
	if err != nil && !again {
		o.metrics.dropped.WithLabelValues("failed").Inc()
		o.log.Error(err, "dropped a message", "kind", k.kind, "namespace", e.Namespace, "receiver", e.Receiver)
		if handler != nil {
			background.Run(ctx, func() { handler.Failed(ctx, e, err) })
		}
	}
	if again {
		o.settle(key, false, temporary.After)
		return
	}
	if err == nil {
		o.metrics.delivered.Inc()
	}
	if err := o.store.remove(k); err != nil {
		o.log.Error(err, "a message that was delivered will be delivered again after a restart")
	}
	o.settle(key, true, 0)
}

// settle notes that an attempt ended: the entry is done, or the lane waits.
func (o *Outbox) settle(key string, done bool, after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[key]
	l.running = false
	of := o.of(l.namespace)
	of.running--
	o.total.running--
	if o.receivers[l.receiver]--; o.receivers[l.receiver] == 0 {
		delete(o.receivers, l.receiver)
	}
	if !done {
		wait := min(minBackoff<<min(l.attempts, 16), maxBackoff)
		l.attempts++
		l.notBefore = o.clock.Now().Add(max(wait, min(after, maxAge)))
		o.signal()
		return
	}
	first := l.waiting[0]
	l.waiting, l.attempts, l.notBefore = l.waiting[1:], 0, time.Time{}
	of.entries--
	of.bytes -= first.size
	o.total.entries--
	o.total.bytes -= first.size
	delete(o.ids, first.id)
	o.metrics.waiting.Set(float64(o.total.entries))
	if len(l.waiting) == 0 {
		delete(o.lanes, key)
		o.order = slices.DeleteFunc(o.order, func(k string) bool { return k == key })
	}
	o.release(l.namespace)
	o.signal()
}
