// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Bounds.
const (
	// maxBody is the most bytes of one entry.
	maxBody = 256 << 10
	// maxEntries and maxBytes are all that waits, and a namespace's share of it. A receiver may hold
	// as much as it leaves free of the share, half of it at most: a backlog always leaves room for others.
	maxEntries, namespaceEntries = 16384, 2048
	maxBytes, namespaceBytes     = 64 << 20, 8 << 20
	// maxRunning deliveries are under way at once, of which a namespace has its share
	// and a receiver its own.
	maxRunning, namespaceRunning, receiverRunning = 32, 8, 4
	// A namespace begins so many deliveries a second, after a burst.
	namespaceRate, namespaceBurst = 20, 200
	// maxAge is how long an entry is tried. An hour outlasts what a service that pages
	// people calls an outage. While its receiver takes nothing for its limit of requests, nothing
	// is tried: that does not count, nor does what was before a restart, up to maxKept.
	maxAge, maxKept = time.Hour, 24 * time.Hour
	// The delays between attempts: each is twice the one before.
	minBackoff, maxBackoff = time.Second, 5 * time.Minute
	// drainTimeout is the time for deliveries when the process ends. What is left is in
	// its file.
	drainTimeout = 5 * time.Second
)

// ErrFull means that there is no room for an entry.
var ErrFull = errors.New("too many messages are waiting")

// Temporary is a failure after which a delivery is tried again.
type Temporary struct {
	Err error
	// After is the least that the receiver wants to be left alone.
	After time.Duration
	// Limited says that nothing was tried, or that the receiver refused it, for its limit of
	// requests: all entries for the receiver wait until After, and do not age.
	Limited bool
}

func (e *Temporary) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Temporary) Unwrap() error { return e.Err }

// Entry is what has to be delivered.
type Entry struct {
	// ID tells entries apart. One that waits already is not put twice.
	ID string `json:"id"`
	// Kind names the handler.
	Kind string `json:"kind"`
	// Namespace is whose share it takes.
	Namespace string `json:"namespace"`
	// Receiver is who gets it; Order what must not overtake one another there.
	Receiver string `json:"receiver"`
	Order    string `json:"order,omitempty"`
	// Replaces names what it says anew: one with the same that waits for the same receiver and order
	// is not delivered any more. Nothing replaces nothing.
	Replaces string `json:"replaces,omitempty"`
	// Added is when it was put; Put sets it.
	Added time.Time `json:"added"`
	// Body is what the handler needs.
	Body json.RawMessage `json:"body"`
}

// Handler delivers entries of a kind. It is called from several goroutines.
type Handler interface {
	// Deliver returns nil when the entry is done, a [Temporary] to be called again, and
	// any other error to drop the entry.
	Deliver(ctx context.Context, e Entry) error
	// Failed is called with the last error of an entry that is dropped.
	Failed(ctx context.Context, e Entry, err error)
}

// Outbox keeps entries in files. It is a manager.Runnable; what is put before it is
// started waits. It is safe for concurrent use.
type Outbox struct {
	store store
	clock clock.Clock
	log   logr.Logger

	mu        sync.Mutex
	handlers  map[string]Handler
	queues    map[string]*deliveryQueue
	turns     []string // namespaces with queues, in the order in which they had their turn
	ids       map[string]bool
	usage     map[string]*usage // by namespace
	total     usage
	receivers map[string]*receiver
	changed   chan struct{}
	metrics   metrics
}

// deliveryQueue is what is delivered one after the other.
type deliveryQueue struct {
	namespace, receiver string
	to                  *receiver
	waiting             []entryHeader
	running             bool
	attempts            int
	notBefore           time.Time
}

// entryHeader is an entry without its body, which is in its file.
type entryHeader struct {
	id, kind, replaces string
	added              time.Time
	size               int
	// paused is for how long its receiver had been paused when it was put. It is less by the age
	// of an entry that is found at the start: nobody remembers for which pauses it waited.
	paused time.Duration
	// whole is the entry if it could not be written.
	whole *Entry
}

// receiver is what is known of a receiver while there are queues for it.
type receiver struct {
	queues, running int
	// pausedUntil is until when it takes nothing, and paused for how long that was in all.
	pausedUntil time.Time
	paused      time.Duration
}

// usage is what a namespace, or all, take.
type usage struct {
	entries, bytes, running int
	limiter                 *rate.Limiter
	// order are the keys of a namespace's queues, in the order in which they had their turn.
	order []string
	// held is what waits for each receiver of a namespace.
	held map[string]occupancy
}

// occupancy is what entries take.
type occupancy struct{ entries, bytes int }

// Open reads what an earlier process left in the folder, which is made if need be.
func Open(dir string, c clock.Clock, log logr.Logger) (*Outbox, error) {
	o := &Outbox{
		store: store{dir: dir}, clock: c, log: log, handlers: map[string]Handler{}, queues: map[string]*deliveryQueue{}, ids: map[string]bool{},
		usage: map[string]*usage{}, receivers: map[string]*receiver{}, changed: make(chan struct{}, 1), metrics: newMetrics(),
	}
	found, err := o.store.load(func(file string, err error) { log.Error(err, "dropped a message that cannot be read", "file", file) })
	if err != nil {
		return nil, fmt.Errorf("opening the outbox: %w", err)
	}
	for _, e := range found {
		waited := max(0, c.Now().Sub(e.Added))
		k := headerOf(e)
		k.paused = -waited
		o.count(e, k.size)
		removeFile(o.store, o.log, o.append(e, k)) // a process that was killed had not
	}
	return o, nil
}

// Handle says who delivers entries of a kind. It is called before Start.
func (o *Outbox) Handle(kind string, h Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handlers[kind] = h
}

// Put keeps an entry, or returns [ErrFull]. It waits for no disk.
func (o *Outbox) Put(e Entry) error { return o.put(e, buffered) }

// PutSync is Put that returns when the entry is on the disk.
func (o *Outbox) PutSync(e Entry) error { return o.put(e, synced) }

func (o *Outbox) put(e Entry, d durability) error {
	if len(e.Body) > maxBody {
		return fmt.Errorf("the message has %d bytes, and may have %d", len(e.Body), maxBody)
	}
	e.Added = o.clock.Now()
	if ok, err := o.reserve(e); err != nil || !ok {
		return err
	}
	k := headerOf(e)
	if err := o.store.write(e, d); err != nil {
		o.log.Error(err, "a message is kept in memory, and lost by a restart")
		k.whole = &e
	}
	o.mu.Lock()
	replaced := o.append(e, k)
	o.mu.Unlock()
	removeFile(o.store, o.log, replaced)
	return nil
}

func headerOf(e Entry) entryHeader {
	return entryHeader{id: e.ID, kind: e.Kind, replaces: e.Replaces, added: e.Added, size: len(e.Body)}
}

// removeFile removes the file of an entry that waits no more; nil is none.
func removeFile(from store, log logr.Logger, k *entryHeader) {
	if k == nil {
		return
	}
	if err := from.remove(*k); err != nil {
		log.Error(err, "a message that is done will be delivered again after a restart")
	}
}

// reserve takes room for an entry. It reports false if the entry waits already.
func (o *Outbox) reserve(e Entry) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ids[e.ID] {
		return false, nil
	}
	of := o.usageOf(e.Namespace)
	held, all := of.held[e.Receiver], occupancy{of.entries, of.bytes}
	if q := o.queues[queueKey(e.Receiver, e.Order)]; q != nil {
		if i := q.replaced(e.Replaces); i >= 0 { // its room is free then
			size := q.waiting[i].size
			held, all = occupancy{held.entries - 1, held.bytes - size}, occupancy{all.entries - 1, all.bytes - size}
		}
	}
	switch {
	case held.entries >= namespaceEntries-all.entries || held.bytes+len(e.Body) > namespaceBytes-all.bytes:
		o.metrics.dropped.WithLabelValues("full").Inc()
		o.release(e.Namespace)
		return false, fmt.Errorf("%w: of namespace %q", ErrFull, e.Namespace)
	case o.total.entries >= maxEntries || o.total.bytes+len(e.Body) > maxBytes:
		o.metrics.dropped.WithLabelValues("full").Inc()
		o.release(e.Namespace)
		return false, ErrFull
	}
	o.count(e, len(e.Body))
	return true, nil
}

// count notes that an entry waits. The lock is held, or the outbox is just being opened.
func (o *Outbox) count(e Entry, size int) {
	of := o.usageOf(e.Namespace)
	of.entries++
	of.bytes += size
	held := of.held[e.Receiver]
	of.held[e.Receiver] = occupancy{held.entries + 1, held.bytes + size}
	o.total.entries++
	o.total.bytes += size
	o.ids[e.ID] = true
	o.metrics.waiting.Set(float64(o.total.entries))
}

// append puts an entry at the end of its queue, and returns the one that it replaces there, whose
// file is to be removed. The lock is held, or the outbox is just being opened.
func (o *Outbox) append(e Entry, k entryHeader) (replaced *entryHeader) {
	key := queueKey(e.Receiver, e.Order)
	q := o.queues[key]
	if q == nil {
		if o.receivers[e.Receiver] == nil {
			o.receivers[e.Receiver] = &receiver{}
		}
		q = &deliveryQueue{namespace: e.Namespace, receiver: e.Receiver, to: o.receivers[e.Receiver]}
		q.to.queues++
		o.queues[key] = q
		of := o.usageOf(e.Namespace)
		if len(of.order) == 0 {
			o.turns = append(o.turns, e.Namespace)
		}
		of.order = append(of.order, key)
	}
	if i := q.replaced(k.replaces); i >= 0 {
		replaced = new(q.waiting[i])
		q.waiting = slices.Delete(q.waiting, i, i+1)
		o.discount(q, *replaced)
	}
	k.paused += q.to.pausedBy(o.clock.Now())
	q.waiting = append(q.waiting, k)
	o.signal()
	return replaced
}

// usageOf is the usage of a namespace. The lock is held.
func (o *Outbox) usageOf(namespace string) *usage {
	u := o.usage[namespace]
	if u == nil {
		u = &usage{limiter: rate.NewLimiter(namespaceRate, namespaceBurst), held: map[string]occupancy{}}
		o.usage[namespace] = u
	}
	return u
}

// release forgets a namespace that has nothing, and whose rate has recovered. The lock
// is held.
func (o *Outbox) release(namespace string) {
	if u := o.usage[namespace]; u != nil && u.entries == 0 && u.running == 0 && u.limiter.TokensAt(o.clock.Now()) >= namespaceBurst {
		delete(o.usage, namespace)
	}
}

// signal has Start look again. It never blocks.
func (o *Outbox) signal() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Waits reports whether an entry for a receiver waits or is under way that others of the
// same order must not overtake.
func (o *Outbox) Waits(receiver, order string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queues[queueKey(receiver, order)] != nil
}

func queueKey(receiver, order string) string { return receiver + "\x00" + order }

// Waiting is how many entries wait or are under way.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total.entries
}
