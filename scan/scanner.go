package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// ErrPending means that a scan goes on by itself. [Scanner.OnDone] tells when it
// is done; the next call of [Scanner.Scan] then returns what came of it.
var ErrPending = errors.New("scan in progress")

// defaultPatience is how long a caller waits for a registry that is not known to
// be slow: most answer within it, and then there is no status to write twice.
const defaultPatience = 100 * time.Millisecond

// Scanner shares scans: whoever asks for an image with the same credentials gets
// the same listing, and only one request for it is under way at a time.
//
//	Scan -> outcome waiting? ----------------------> snapshot or error
//	     -> listing young enough? -----------------> snapshot
//	     -> host to be left alone? ----------------> RateLimited
//	     -> join or start a flight -> done soon? --> snapshot or error
//	                                  else --------> ErrPending ... OnDone
//
// A flight runs outside of the workers and takes a slot of its host, so that
// neither a registry that hangs nor one with many images keeps others waiting.
type Scanner struct {
	client   *Client
	store    *Store
	patience time.Duration

	mu       sync.Mutex
	flights  map[listingID]*flight
	outcomes map[types.NamespacedName]*flight
	held     map[heldKey]heldList
	sifts    map[types.NamespacedName]*sift
	sifters  *slots
	done     []func(types.NamespacedName)
}

// NewScanner returns a scanner over the client and the store.
func NewScanner(client *Client, store *Store) *Scanner {
	return &Scanner{
		client: client, store: store, patience: defaultPatience,
		flights: map[listingID]*flight{}, outcomes: map[types.NamespacedName]*flight{},
		held: map[heldKey]heldList{}, sifts: map[types.NamespacedName]*sift{}, sifters: newSlots(sifters, 1),
	}
}

// SetPatience sets how long a call of Scan waits. It must not be called later
// than the first Scan.
func (s *Scanner) SetPatience(d time.Duration) { s.patience = d }

// Store is where the snapshots go.
func (s *Scanner) Store() *Store { return s.store }

// OnDone calls tell for every object whose scan was pending and is over.
func (s *Scanner) OnDone(tell func(types.NamespacedName)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, tell)
}

// Ask is what an object wants scanned.
type Ask struct {
	// Key is the object, and Target and Access what it asks for.
	Key    types.NamespacedName
	Target Target
	Access Access
	// Within is how old a listing that somebody else asked for may be; zero wants
	// one that is made after the call.
	Within time.Duration
	// Known is how many tags the object had at its last scan, if that is known from
	// elsewhere than the store, as from a status that outlived it; else zero.
	Known int
}

// flight is one request for a listing, and those who wait for it.
type flight struct {
	ask     Ask
	id      listingID
	host    *host
	budget  atomic.Int64
	started atomic.Bool
	landed  chan struct{}

	// Of the scanner, under its lock.
	waiting map[types.NamespacedName]Ask // to be told
	late    map[types.NamespacedName]Ask // want a flight that starts later
	slow    bool                         // somebody gave up waiting

	// Set before landed is closed.
	list *listing
	err  error
}

// Scan returns the tags for ask, and keeps them in the store. The error is
// [ErrPending] when that takes longer than a moment.
func (s *Scanner) Scan(ctx context.Context, ask Ask) (*Snapshot, error) {
	ask.Access.namespace = ask.Key.Namespace
	id := ask.Access.id(ask.Target)
	if done := s.sifted(ask); done != nil {
		return s.use(ask, done.snapshot, done.err)
	}
	if f := s.collect(ask.Key, id); f != nil {
		return s.result(ctx, ask, f)
	}
	if list := s.store.listing(id); list != nil && s.young(list, ask.Within) {
		s.client.metrics.scans.WithLabelValues(s.client.metrics.host(ask.Target.Repository.RegistryStr()), outcomeShared).Inc()
		return s.snapshot(ctx, ask, list)
	}
	h := s.client.host(ask.Target, ask.Access)
	if err := h.limited(s.client.clock.Now(), ask.Access.caller(ask.Target)); err != nil {
		return nil, err
	}
	f := s.join(ctx, id, h, ask)
	if f == nil || !s.wait(ctx, f, ask) {
		return nil, ErrPending
	}
	return s.result(ctx, ask, f)
}

// young reports whether a listing is younger than d. One from the future, as after
// a clock was set back, is of any age.
func (s *Scanner) young(list *listing, d time.Duration) bool {
	age := s.client.clock.Now().Sub(list.at)
	return age >= 0 && age < d
}

// Forget drops what is known of an object that is gone.
func (s *Scanner) Forget(key types.NamespacedName) {
	s.mu.Lock()
	delete(s.outcomes, key)
	delete(s.held, heldKey{object: key})
	delete(s.sifts, key)
	s.mu.Unlock()
	s.store.Delete(key)
}

// collect takes the outcome that waits for key, if it is still what it wants.
func (s *Scanner) collect(key types.NamespacedName, id listingID) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.outcomes[key]
	delete(s.outcomes, key)
	if f == nil || f.id != id {
		return nil
	}
	return f
}

// join returns the flight that answers ask, and starts one if there is none. It
// returns nil when the answer is a flight after the present one, which may have
// read the tags before what ask knows of happened.
func (s *Scanner) join(ctx context.Context, id listingID, h *host, ask Ask) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[id]
	if f == nil {
		return s.start(ctx, id, h, ask)
	}
	f.budget.Store(max(f.budget.Load(), int64(s.client.MaxTags(ask.Target))))
	_, queued := f.late[ask.Key]
	_, waits := f.waiting[ask.Key]
	if queued || ask.Within == 0 && f.started.Load() && !waits {
		f.late[ask.Key] = ask
		return nil
	}
	return f
}

// start begins a flight. The lock is held.
func (s *Scanner) start(ctx context.Context, id listingID, h *host, ask Ask) *flight {
	f := &flight{
		ask: ask, id: id, host: h, landed: make(chan struct{}),
		waiting: map[types.NamespacedName]Ask{}, late: map[types.NamespacedName]Ask{},
	}
	f.budget.Store(int64(s.client.MaxTags(ask.Target)))
	s.flights[id] = f
	// Not the caller's deadline: others may wait for the flight as well. The
	// target's timeout ends it.
	go s.fly(context.WithoutCancel(ctx), f)
	return f
}

// fly makes the listing once the host has a slot.
func (s *Scanner) fly(ctx context.Context, f *flight) {
	var list *listing
	err := background.Try(ctx, func() (err error) {
		list, err = s.listing(ctx, f)
		return err
	})
	s.land(ctx, f, list, err)
}

// listing asks the registry.
func (s *Scanner) listing(ctx context.Context, f *flight) (*listing, error) {
	if err := f.host.slots.take(ctx, f.ask.Key.Namespace); err != nil {
		return nil, err
	}
	defer f.host.slots.give(f.ask.Key.Namespace)
	f.started.Store(true)
	last := s.store.listing(f.id)
	list, err := s.client.list(ctx, f.ask.Target, f.ask.Access, listOptions{
		last: last, budget: func() int { return int(f.budget.Load()) },
	})
	if err != nil {
		return nil, err
	}
	if err := s.settleListing(last, list); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", f.ask.Target.Repository, err)
	}
	if err := s.store.room(f.ask.Key.Namespace, list, last); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", f.ask.Target.Repository, err)
	}
	return s.store.keep(list, f.ask.Key.Namespace), nil
}

// land hands the outcome to those who wait, and starts the next flight if some
// want a later one.
func (s *Scanner) land(ctx context.Context, f *flight, list *listing, err error) {
	s.mu.Lock()
	f.list, f.err = list, err
	delete(s.flights, f.id)
	told := make([]types.NamespacedName, 0, len(f.waiting))
	for key, ask := range f.waiting {
		if errors.Is(err, ErrTimeout) && ask.Target.Timeout > f.ask.Target.Timeout {
			f.late[key] = ask // whoever was first has less patience
			continue
		}
		s.outcomes[key] = f
		told = append(told, key)
	}
	if f.slow {
		f.host.lateBy(-1)
	}
	for key, ask := range f.late {
		next := s.flights[f.id]
		if next == nil {
			next = s.start(ctx, f.id, f.host, mostPatient(f.late, ask))
		}
		next.waiting[key] = ask
		next.budget.Store(max(next.budget.Load(), int64(s.client.MaxTags(ask.Target))))
	}
	done := s.done
	close(f.landed)
	s.mu.Unlock()
	for _, tell := range done {
		for _, key := range told {
			tell(key)
		}
	}
}

// mostPatient is one of asks, or ask.
func mostPatient(asks map[types.NamespacedName]Ask, ask Ask) Ask {
	for _, other := range asks {
		if other.Target.Timeout > ask.Target.Timeout {
			ask = other
		}
	}
	return ask
}

// wait waits for the flight, but no longer than is worth a worker's time; after
// that key is told when it has landed.
func (s *Scanner) wait(ctx context.Context, f *flight, ask Ask) bool {
	if !f.host.slow() {
		timer := time.NewTimer(s.patience)
		defer timer.Stop()
		select {
		case <-f.landed:
			return true
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-f.landed:
		return true
	default:
	}
	f.waiting[ask.Key] = ask
	if !f.slow {
		f.slow = true
		f.host.lateBy(1)
	}
	return false
}

func (s *Scanner) result(ctx context.Context, ask Ask, f *flight) (*Snapshot, error) {
	if f.err != nil {
		return nil, f.err
	}
	return s.snapshot(ctx, ask, f.list)
}

// snapshot leaves out what the object excludes, and keeps the rest in the store.
func (s *Scanner) snapshot(ctx context.Context, ask Ask, list *listing) (*Snapshot, error) {
	if err := s.client.within(ask.Target, list); err != nil {
		return nil, err
	}
	last, _ := s.store.Get(ask.Key, ask.Target)
	if last == nil || last.list.tags != list.tags {
		if err := pattern.Check(ask.Target.size, len(list.tags.text)); err != nil {
			return nil, fmt.Errorf("%w: spec.exclusionList: %w", ErrInvalidExclusion, err)
		}
		if int64(ask.Target.size)*int64(len(list.tags.text)) > pattern.Light {
			s.sift(context.WithoutCancel(ctx), ask, list)
			return nil, ErrPending
		}
	}
	return s.use(ask, newSnapshot(ask.Target, list, last), nil)
}

// use puts a snapshot into the store.
func (s *Scanner) use(ask Ask, snapshot *Snapshot, err error) (*Snapshot, error) {
	if err != nil {
		return nil, err
	}
	last, _ := s.store.Get(ask.Key, ask.Target)
	if err := s.settleFor(ask, last, snapshot); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", ask.Target.Repository, err)
	}
	s.store.Put(ask.Key, snapshot)
	return snapshot, nil
}
