package imagepolicy

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// errPending ends a run one of whose look-ups goes on outside of the workers.
var errPending = errors.New("a look-up is not done yet")

// defaultPatience is how long a worker waits for one look-up at a registry that is
// not known to be slow: most answer within it, and then the run needs no second.
const defaultPatience = 100 * time.Millisecond

// errands are look-ups, one at a time for each policy. A worker waits for one no
// longer than a moment, so that the policies of a registry that hangs do not hold
// up those of all others; the policy comes back when its errand is done, and the
// run that follows finds the outcome here.
type errands struct {
	patience time.Duration
	// tell brings a policy back whose errand took longer.
	tell func(types.NamespacedName)

	mu   sync.Mutex
	open map[types.NamespacedName]*errand
	late map[string]int // errands that nobody waits for any more, by host
}

// errand is one look-up and what came of it.
type errand struct {
	what string
	at   time.Time
	stop context.CancelFunc
	done chan struct{}
	late bool // of the errands, under their lock

	// Set before done is closed.
	value any
	err   error
}

// order is whose errand it is, of which host, and for what. An order for something
// else takes the place of the one before.
type order struct {
	policy     types.NamespacedName
	host, what string
	at         time.Time
}

// run runs the errand of an order, or returns what came of it meanwhile. The error
// is errPending when that takes longer than a moment.
func (e *errands) run(ctx context.Context, o order, call func(context.Context) (any, error)) (any, error) {
	errand := e.start(ctx, o, call)
	if !e.wait(ctx, o, errand) {
		return nil, errPending
	}
	return errand.value, errand.err
}

// start returns the errand that is under way or done, and starts it otherwise.
func (e *errands) start(ctx context.Context, o order, call func(context.Context) (any, error)) *errand {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.open[o.policy]; known != nil {
		if known.what == o.what && known.counts(o.at) {
			return known
		}
		known.stop()
	}
	// Not the run's deadline: the errand outlives it. Each look-up has its own.
	away, stop := context.WithCancel(context.WithoutCancel(ctx))
	fresh := &errand{what: o.what, at: o.at, stop: stop, done: make(chan struct{})}
	e.open[o.policy] = fresh
	go func() {
		defer stop()
		fresh.value, fresh.err = call(away)
		e.finish(o, fresh)
	}()
	return fresh
}

// counts reports whether an errand is under way, or was until a moment ago: what
// nobody came for is not true for ever.
func (e *errand) counts(now time.Time) bool {
	select {
	case <-e.done:
		return now.Sub(e.at) < searchLife
	default:
		return true
	}
}

func (e *errands) finish(o order, done *errand) {
	e.mu.Lock()
	if done.late {
		e.late[o.host]--
	}
	tell := e.tell
	if !done.late || e.open[o.policy] != done {
		tell = nil
	}
	close(done.done)
	e.mu.Unlock()
	if tell != nil {
		tell(o.policy)
	}
}

// wait waits for an errand and takes it away when it is done.
func (e *errands) wait(ctx context.Context, o order, errand *errand) bool {
	if !e.slow(o.host) {
		timer := time.NewTimer(e.patience)
		defer timer.Stop()
		select {
		case <-errand.done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-errand.done:
		if e.open[o.policy] == errand {
			delete(e.open, o.policy)
		}
		return true
	default:
	}
	if !errand.late {
		errand.late = true
		e.late[o.host]++
	}
	return false
}

// slow reports whether the host keeps somebody waiting.
func (e *errands) slow(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.late[host] > 0
}

// forget ends the errand of a policy that is gone.
func (e *errands) forget(policy types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if errand := e.open[policy]; errand != nil {
		errand.stop()
		delete(e.open, policy)
	}
}

// onDone sets who is told of errands that took longer than a moment.
func (e *errands) onDone(tell func(types.NamespacedName)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell = tell
}

// ask makes one look-up of the run as an errand.
func ask[T any](ctx context.Context, s *search, what string, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := s.spend(); err != nil {
		return none, err
	}
	host := s.from.target.Repository.RegistryStr()
	got, err := s.memory().errands.run(ctx, order{s.key(), host, s.revision() + " " + what, s.now},
		func(ctx context.Context) (any, error) { return call(ctx) })
	if err != nil {
		return none, err
	}
	found, _ := got.(T)
	return found, nil
}
