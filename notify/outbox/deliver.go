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
	for o.hasDeliveries() {
		o.dispatch(ctx, running)
		select {
		case <-o.changed:
		case <-end.C():
			return
		}
	}
}

// hasDeliveries reports whether a delivery is under way or due.
func (o *Outbox) hasDeliveries() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	for _, q := range o.queues {
		if q.running || !q.dueAt().After(now) {
			return true
		}
	}
	return false
}

// idle is how long Start sleeps when nothing is due; it is woken by what is put.
const idle = time.Minute

// dispatch starts deliveries as far as shares and rates let it, and returns when to look again
// at the latest. Namespaces take turns, and of one its queues do: one with thousands of them
// costs another no more than one with a single one.
func (o *Outbox) dispatch(ctx context.Context, running *sync.WaitGroup) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := idle
	for left := slices.Clone(o.turns); len(left) > 0 && o.total.running < maxRunning; {
		left = slices.DeleteFunc(left, func(namespace string) bool {
			key, wait := o.pick(namespace)
			if key == "" {
				next = min(next, wait)
				return true
			}
			o.startDelivery(ctx, running, key)
			return false
		})
	}
	for namespace, of := range o.usage {
		if of.entries == 0 {
			o.release(namespace)
		}
	}
	return next
}

// pick is the queue of a namespace whose turn it is; with none, when to look again. The lock is
// held.
func (o *Outbox) pick(namespace string) (key string, wait time.Duration) {
	of, now, wait := o.usageOf(namespace), o.clock.Now(), idle
	if of.running >= namespaceRunning || o.total.running >= maxRunning {
		return "", wait // the end of another one looks again
	}
	for _, key := range of.order {
		q := o.queues[key]
		if q.running || q.to.running >= receiverRunning {
			continue
		}
		if due := q.dueAt().Sub(now); due > 0 {
			wait = min(wait, due)
			continue
		}
		if !of.limiter.AllowN(now, 1) {
			return "", min(wait, time.Second/namespaceRate)
		}
		return key, 0
	}
	return "", wait
}

// startDelivery starts a delivery of a queue, which has its next turn after all others of its
// namespace, as that has after other namespaces. The lock is held.
func (o *Outbox) startDelivery(ctx context.Context, running *sync.WaitGroup, key string) {
	q := o.queues[key]
	of := o.usageOf(q.namespace)
	q.running = true
	of.running++
	o.total.running++
	q.to.running++
	of.order = toEnd(of.order, key)
	o.turns = toEnd(o.turns, q.namespace)
	first := q.waiting[0]
	running.Go(func() { o.deliver(ctx, key, first) })
}

// toEnd moves one of the values to the end.
func toEnd(values []string, value string) []string { return append(without(values, value), value) }

func without(values []string, value string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == value })
}

// maxAttempt is how long one attempt may hold its place.
const maxAttempt = 2 * time.Minute

// deliver makes one attempt at the first entry of a queue.
func (o *Outbox) deliver(ctx context.Context, key string, k entryHeader) {
	o.mu.Lock()
	handler := o.handlers[k.kind]
	o.mu.Unlock()
	var e Entry
	err := background.Try(ctx, func() (err error) { // or a file would end the process, again after each restart
		e, err = o.store.read(k)
		return err
	})
	if err == nil && handler == nil {
		err = fmt.Errorf("nobody delivers messages of kind %q in this process", k.kind)
	}
	if err == nil {
		attempt, cancel := context.WithTimeout(ctx, maxAttempt)
		err = background.Try(attempt, func() error { return handler.Deliver(attempt, e) })
		cancel()
	}
	if ctx.Err() != nil && err != nil {
		o.retry(key, &Temporary{}) // it is in its file
		return
	}
	var temporary *Temporary
	o.mu.Lock()
	again := errors.As(err, &temporary) && !o.queues[key].isTooOld(k, temporary, o.clock.Now())
	o.mu.Unlock()
	if err != nil && !again {
		o.metrics.dropped.WithLabelValues("failed").Inc()
		o.log.Error(err, "dropped a message", "kind", k.kind, "namespace", e.Namespace, "receiver", e.Receiver)
		if handler != nil {
			background.Run(ctx, func() { handler.Failed(ctx, e, err) })
		}
	}
	if again {
		o.retry(key, temporary)
		return
	}
	if err == nil {
		o.metrics.delivered.Inc()
	}
	removeFile(o.store, o.log, &k)
	o.finish(key)
}

// endAttempt notes that the attempt of a queue ended. The lock is held.
func (o *Outbox) endAttempt(q *deliveryQueue) {
	q.running = false
	o.usageOf(q.namespace).running--
	o.total.running--
	q.to.running--
}

// retry ends an attempt whose entry stays the first of its queue.
func (o *Outbox) retry(key string, why *Temporary) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queues[key]
	o.endAttempt(q)
	q.postpone(why, o.clock.Now())
	o.signal()
}

// discount notes that an entry of a queue waits no more. The lock is held.
func (o *Outbox) discount(q *deliveryQueue, k entryHeader) {
	of := o.usageOf(q.namespace)
	of.entries--
	of.bytes -= k.size
	held := of.held[q.receiver]
	if of.held[q.receiver] = (occupancy{held.entries - 1, held.bytes - k.size}); held.entries == 1 {
		delete(of.held, q.receiver)
	}
	o.total.entries--
	o.total.bytes -= k.size
	delete(o.ids, k.id)
	o.metrics.waiting.Set(float64(o.total.entries))
}

// finish ends an attempt after which the entry is gone: it was delivered or dropped.
func (o *Outbox) finish(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queues[key]
	o.endAttempt(q)
	of := o.usageOf(q.namespace)
	first := q.waiting[0]
	q.waiting, q.attempts, q.notBefore = q.waiting[1:], 0, time.Time{}
	o.discount(q, first)
	if len(q.waiting) == 0 {
		delete(o.queues, key)
		if q.to.queues--; q.to.queues == 0 {
			delete(o.receivers, q.receiver)
		}
		if of.order = without(of.order, key); len(of.order) == 0 {
			o.turns = without(o.turns, q.namespace)
		}
	}
	o.release(q.namespace)
	o.signal()
}
