// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
)

// Bounds of an Outbox.
const (
	// maxLane is how many deliveries may wait for one receiver.
	maxLane = 64
	// maxShare is how many may wait for the receivers of one namespace, and
	// maxWaiting for all: nobody's receivers that do not answer leave no room for the
	// messages of others.
	maxShare   = 512
	maxWaiting = 16384
	// drainTimeout is the time for what still waits when the process ends.
	drainTimeout = 5 * time.Second
)

// Outbox delivers in the background. Deliveries of one lane are made one after the
// other, in the order in which they were put there; lanes do not wait for one
// another. It is a manager.Runnable, and what is put before it is started waits.
type Outbox struct {
	clock clock.Clock

	mu      sync.Mutex
	lanes   map[string]*lane
	ready   []string // lanes without a goroutine
	news    chan struct{}
	waiting map[string]int // by namespace; without those for which nothing waits
	total   int
	closed  bool
}

// lane is a queue with at most one goroutine that empties it.
type lane struct {
	namespace string
	queue     []func(context.Context)
}

// NewOutbox returns an empty outbox.
func NewOutbox(c clock.Clock) *Outbox {
	return &Outbox{clock: c, lanes: map[string]*lane{}, waiting: map[string]int{}, news: make(chan struct{}, 1)}
}

// Put has deliver called later, and reports false if there is no room for it in the
// lane or the namespace, or no time left. It never blocks.
func (o *Outbox) Put(namespace, name string, deliver func(context.Context)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	name = namespace + "/" + name
	l := o.lanes[name]
	if o.closed || o.total >= maxWaiting || o.waiting[namespace] >= maxShare || l != nil && len(l.queue) >= maxLane {
		return false
	}
	if l == nil {
		l = &lane{namespace: namespace}
		o.lanes[name] = l
		o.ready = append(o.ready, name)
		o.wake()
	}
	l.queue = append(l.queue, deliver)
	o.waiting[namespace]++
	o.total++
	return true
}

func (o *Outbox) wake() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: with false, the
// manager stops the outbox after the controllers that fill it.
func (o *Outbox) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. When ctx ends it delivers what is left, for a
// few seconds at most.
func (o *Outbox) Start(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	for {
		o.dispatch(working, &running)
		select {
		case <-o.news:
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

// dispatch starts the lanes that are ready.
func (o *Outbox) dispatch(ctx context.Context, running *sync.WaitGroup) {
	o.mu.Lock()
	ready := o.ready
	o.ready = nil
	o.mu.Unlock()
	for _, name := range ready {
		running.Go(func() { o.run(ctx, name) })
	}
}

// drain waits until nothing is left, but not for long.
func (o *Outbox) drain(ctx context.Context, running *sync.WaitGroup) {
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

// run empties a lane. A delivery that panics is one that failed.
func (o *Outbox) run(ctx context.Context, name string) {
	for deliver := o.next(name); deliver != nil && ctx.Err() == nil; deliver = o.next(name) {
		background.Run(ctx, func() { deliver(ctx) })
	}
}

// next takes the first delivery of a lane; without one the lane is gone.
func (o *Outbox) next(name string) func(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[name]
	if len(l.queue) == 0 {
		delete(o.lanes, name)
		return nil
	}
	deliver := l.queue[0]
	l.queue = l.queue[1:]
	o.total--
	if o.waiting[l.namespace]--; o.waiting[l.namespace] == 0 {
		delete(o.waiting, l.namespace)
	}
	return deliver
}
