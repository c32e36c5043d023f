// Package errand runs work that waits for servers outside of a controller's
// workers, so that a server that hangs holds up nobody but those who need it.
//
//	Run -> done within a moment? ---------------> what came of it
//	    -> else ErrPending, and the worker is free
//	              ... late, at last -> Told; the object comes back
//
// There is one errand at a time for each object. Of a host that keeps somebody
// waiting, nobody waits for a moment either: with more objects at a silent server
// than workers, even the moments would add up. Errands of one namespace at one host
// have as many slots as the desk gives it; who gets none has its place in a queue of
// its own. Namespaces do not wait for one another: a tenant whose proxy or server
// never answers keeps the tenant's own slots, not those of everybody at that host.
//
// What comes late is either kept for the next Run, which asks for the same, or
// told and forgotten, for who has nothing to do with it but to note that the
// object was asked for meanwhile.
package errand

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// ErrPending means that an errand is not done yet.
var ErrPending = errors.New("an errand is not done yet")

// DefaultPatience is how long a worker waits for one errand at a host that is not
// known to be slow: most are done within it, and then the run needs no second.
const DefaultPatience = 100 * time.Millisecond

// Desk sends errands. Its fields are set before the first Run; the zero value waits
// for no errand, has no slots to spare and tells nobody.
type Desk struct {
	// Patience is how long Run waits.
	Patience time.Duration
	// Slots are how many errands of one namespace at one host run at once; zero is no
	// limit.
	Slots int
	// Keep is how long what came late waits for a Run that asks for the same; zero
	// keeps nothing.
	Keep time.Duration

	mu    sync.Mutex
	tell  func(Late)
	open  map[types.NamespacedName]*errand
	hosts map[lane]*host
}

// lane is what errands wait for each other in.
type lane struct{ namespace, host string }

// Late is an errand that took longer than a moment.
type Late struct {
	Object types.NamespacedName
	// Again says that there was another Run for the object meanwhile.
	Again bool
	// Value and Err are what the call returned.
	Value any
	Err   error
}

// Order is whose errand it is, at which host, and for what. Where outcomes are kept,
// an order for something else takes the place of the one before. The host is where a
// call waits: a server, with the proxy before it if there is one.
type Order struct {
	Object     types.NamespacedName
	Host, What string
	At         time.Time
}

// errand is one piece of work and what came of it.
type errand struct {
	Order
	stop context.CancelFunc
	done chan struct{}

	// Of the desk, under its lock.
	late, again bool

	// Set before done is closed.
	value any
	err   error
}

func (o Order) lane() lane { return lane{o.Object.Namespace, o.Host} }

// host is where errands of a namespace go.
type host struct {
	users int           // errands under way or waiting
	late  int           // those that nobody waits for any more
	slots chan struct{} // nil: no limit
}

// Tell sets who is told of errands that took longer than a moment.
func (d *Desk) Tell(tell func(Late)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell = tell
}

// Run runs the errand of an order, or returns what came of it meanwhile. The error
// is [ErrPending] when that takes longer than a moment. The context may outlive the
// call, and ends the errand when it ends.
func (d *Desk) Run(ctx context.Context, o Order, call func(context.Context) (any, error)) (any, error) {
	sent, fresh := d.send(ctx, o, call)
	if !fresh && d.Keep == 0 || !d.wait(ctx, sent) {
		return nil, ErrPending
	}
	return sent.value, sent.err
}

// Busy notes that an object is asked for whose errand is under way, and reports
// whether it is. What it was for is what the next one starts with.
func (d *Desk) Busy(object types.NamespacedName) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.open[object]
	if known != nil {
		known.again = true
	}
	return known != nil
}

// Open reports whether the object has an errand that is under way or kept.
func (d *Desk) Open(object types.NamespacedName) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[object] != nil
}

// Stop ends the errand of an object; what came of it is told as ever.
func (d *Desk) Stop(object types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.open[object]; known != nil {
		known.stop()
	}
}

// Forget ends the errand of an object that is gone, of which nobody is told.
func (d *Desk) Forget(object types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.open[object]; known != nil {
		known.stop()
		delete(d.open, object)
	}
}

// send returns the errand that is under way or kept, and starts it otherwise.
func (d *Desk) send(ctx context.Context, o Order, call func(context.Context) (any, error)) (sent *errand, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.open[o.Object]; known != nil {
		if d.Keep == 0 {
			known.again = true
			return known, false
		}
		if known.What == o.What && known.counts(o.At, d.Keep) {
			return known, false
		}
		known.stop()
	}
	away, stop := context.WithCancel(ctx)
	sent = &errand{Order: o, stop: stop, done: make(chan struct{})}
	if d.open == nil {
		d.open = map[types.NamespacedName]*errand{}
	}
	d.open[o.Object] = sent
	at := d.enter(o.lane())
	go func() {
		defer stop()
		sent.value, sent.err = at.serve(away, call)
		d.finish(sent)
	}()
	return sent, true
}

// serve makes a call when the host has a slot for it. A panic is an error, as it is
// in a worker.
func (h *host) serve(ctx context.Context, call func(context.Context) (any, error)) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			for _, handle := range utilruntime.PanicHandlers {
				handle(ctx, r)
			}
			value, err = nil, fmt.Errorf("panic: %v [recovered]", r)
		}
	}()
	if h.slots != nil {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return call(ctx)
}

// counts reports whether an errand is under way, or was until a moment ago: what
// nobody came for is not true for ever.
func (e *errand) counts(now time.Time, keep time.Duration) bool {
	select {
	case <-e.done:
		return now.Sub(e.At) < keep
	default:
		return true
	}
}

// enter counts an errand to its host. The lock is held.
func (d *Desk) enter(in lane) *host {
	if d.hosts == nil {
		d.hosts = map[lane]*host{}
	}
	at := d.hosts[in]
	if at == nil {
		at = &host{}
		if d.Slots > 0 {
			at.slots = make(chan struct{}, d.Slots)
		}
		d.hosts[in] = at
	}
	at.users++
	return at
}

// finish hands out what came of an errand.
func (d *Desk) finish(done *errand) {
	d.mu.Lock()
	at := d.hosts[done.lane()]
	if at.users--; at.users == 0 {
		delete(d.hosts, done.lane())
	} else if done.late {
		at.late--
	}
	tell := d.tell
	if !done.late || d.open[done.Object] != done {
		tell = nil
	} else if d.Keep == 0 {
		delete(d.open, done.Object)
	}
	late := Late{Object: done.Object, Again: done.again, Value: done.value, Err: done.err}
	close(done.done)
	d.mu.Unlock()
	if tell != nil {
		tell(late)
	}
}

// wait waits for an errand and takes it away when it is done.
func (d *Desk) wait(ctx context.Context, sent *errand) bool {
	if !d.slow(sent.lane()) {
		timer := time.NewTimer(d.Patience)
		defer timer.Stop()
		select {
		case <-sent.done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-sent.done:
		if d.open[sent.Object] == sent {
			delete(d.open, sent.Object)
		}
		return true
	default:
	}
	if !sent.late {
		sent.late = true
		d.hosts[sent.lane()].late++
	}
	return false
}

// slow reports whether the host keeps somebody of the namespace waiting.
func (d *Desk) slow(in lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.hosts[in]
	return at != nil && at.late > 0
}
