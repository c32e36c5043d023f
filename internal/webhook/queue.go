// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
)

// Bounds of a Queue.
const (
	// maxPerReceiver is how many deliveries may wait for one receiver.
	maxPerReceiver = 64
	// maxPerNamespace is how many may wait for the receivers of one namespace, and
	// maxWaiting for all, so that a namespace whose receivers do not answer leaves room
	// for the deliveries of others.
	maxPerNamespace = 512
	maxWaiting      = 16384
	// drainTimeout is the time for what still waits when the process ends.
	drainTimeout = 5 * time.Second
)

// Queue delivers in the background. The deliveries for one receiver are made one after
// the other, in the order in which they were put; receivers do not wait for one another.
// It is a manager.Runnable, and what is put before it is started waits.
type Queue struct {
	clock clock.Clock

	mu      sync.Mutex
	queues  map[string]*receiverQueue // by namespace and receiver
	ready   []string                  // queues without a goroutine
	added   chan struct{}             // has an element when ready has one that Start has not seen
	waiting map[string]int            // deliveries by namespace; zeros are removed
	total   int
	closed  bool
}

// receiverQueue is what waits for one receiver. At most one goroutine empties it.
type receiverQueue struct {
	namespace  string
	deliveries []func(context.Context)
}

// NewQueue returns an empty queue.
func NewQueue(c clock.Clock) *Queue {
	return &Queue{clock: c, queues: map[string]*receiverQueue{}, waiting: map[string]int{}, added: make(chan struct{}, 1)}
}

// Put queues a delivery for a receiver of a namespace. It reports false, and drops the
// delivery, if a bound of the queue is reached or the queue has ended. It never blocks.
func (o *Queue) Put(namespace, receiver string, deliver func(context.Context)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := namespace + "/" + receiver
	q := o.queues[key]
	if o.closed || o.total >= maxWaiting || o.waiting[namespace] >= maxPerNamespace || q != nil && len(q.deliveries) >= maxPerReceiver {
		return false
	}
	if q == nil {
		q = &receiverQueue{namespace: namespace}
		o.queues[key] = q
		o.ready = append(o.ready, key)
		o.signal()
	}
	q.deliveries = append(q.deliveries, deliver)
	o.waiting[namespace]++
	o.total++
	return true
}

// signal has Start look at the queues that are ready.
func (o *Queue) signal() {
	select {
	case o.added <- struct{}{}:
	default:
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: with false, the
// manager stops the queue after the controllers that fill it.
func (o *Queue) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. When ctx ends it delivers what is left, for a
// few seconds at most.
func (o *Queue) Start(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	for {
		o.dispatch(working, &running)
		select {
		case <-o.added:
			continue
		case <-ctx.Done():
		}
		break
	}
	o.drain(working, &running)
	stop()
	running.Wait()
	return nil
}

// dispatch starts a goroutine for each queue that is ready.
func (o *Queue) dispatch(ctx context.Context, running *sync.WaitGroup) {
	o.mu.Lock()
	ready := o.ready
	o.ready = nil
	o.mu.Unlock()
	for _, key := range ready {
		running.Go(func() { o.run(ctx, key) })
	}
}

// drain takes no more deliveries and waits for those that are left, drainTimeout at most.
func (o *Queue) drain(ctx context.Context, running *sync.WaitGroup) {
	timer := o.clock.NewTimer(drainTimeout)
	defer timer.Stop()
	empty := make(chan struct{})
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.dispatch(ctx, running)
	go func() {
		running.Wait()
		close(empty)
	}()
	select {
	case <-empty:
	case <-timer.C():
	}
}

// run empties a queue. A delivery that panics does not keep the next from being made.
func (o *Queue) run(ctx context.Context, key string) {
	for deliver := o.next(key); deliver != nil && ctx.Err() == nil; deliver = o.next(key) {
		background.Run(ctx, func() { deliver(ctx) })
	}
}

// next takes the first delivery of a queue. An empty queue is removed, and next is nil.
func (o *Queue) next(key string) func(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queues[key]
	if len(q.deliveries) == 0 {
		delete(o.queues, key)
		return nil
	}
	deliver := q.deliveries[0]
	q.deliveries = q.deliveries[1:]
	o.total--
	if o.waiting[q.namespace]--; o.waiting[q.namespace] == 0 {
		delete(o.waiting, q.namespace)
	}
	return deliver
}
