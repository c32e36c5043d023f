// SPDX-License-Identifier: Apache-2.0

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
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
)

// ErrPending means that a scan goes on in the background. [Scanner.Done] wakes the
// object when it is done; the next call of [Scanner.Scan] then returns its result.
var ErrPending = errors.New("scan in progress")

// Scanner shares scans: whoever asks for an image with the same credentials gets
// the same listing, and only one request of a namespace for it is under way at a time.
//
//	Scan -> outcome waiting? ----------------------> snapshot or error
//	     -> listing young enough? -----------------> snapshot
//	     -> host to be left alone? ----------------> RateLimited
//	     -> another namespace about to have it? ---> snapshot
//	     -> join or start a listCall -> done soon? --> snapshot or error
//	                                  else --------> ErrPending ... Done
//
// A listCall is a background task in the queue of its host, so that neither a registry
// that hangs nor one with many images keeps others waiting. It takes of the slots, the
// rate and the memory of its namespace. What it lists is for all; that it takes long or
// fails, perhaps since these are used up, is for its namespace alone.
type Scanner struct {
	client   *Client
	store    *Store
	patience time.Duration

	mu          sync.Mutex
	listCalls   map[registry.ID]map[string]*listCall // by namespace
	outcomes    map[types.NamespacedName]*listCall
	unconfirmed map[unconfirmedKey]unconfirmedList
	done        *wake.Source

	// exclusions apply spec.exclusionList where that takes long: some expressions take
	// seconds for many tags, which no worker has.
	exclusions background.Runner[types.NamespacedName, *Snapshot]
}

// maxExclusions is how many objects have their exclusions applied in the background at
// once, one of each namespace.
const maxExclusions = 4

// NewScanner returns a scanner over the client and the store.
func NewScanner(client *Client, store *Store) *Scanner {
	s := &Scanner{
		client: client, store: store, patience: background.DefaultPatience,
		listCalls: map[registry.ID]map[string]*listCall{}, outcomes: map[types.NamespacedName]*listCall{},
		unconfirmed: map[unconfirmedKey]unconfirmedList{}, done: &wake.Source{},
	}
	s.exclusions.PerHost, s.exclusions.PerNamespace, s.exclusions.Wake = maxExclusions, 1, s.done.Wake
	return s
}

// SetPatience sets how long a call of Scan waits. It must not be called later
// than the first Scan.
func (s *Scanner) SetPatience(d time.Duration) { s.patience = d }

// MaxTags is the most tags that a scan of target may list.
func (s *Scanner) MaxTags(target Target) int { return s.client.MaxTags(target) }

// Store is where the snapshots go.
func (s *Scanner) Store() *Store { return s.store }

// Done wakes every object whose scan was pending and is done.
func (s *Scanner) Done() *wake.Source { return s.done }

// Ask is what an object wants scanned.
type Ask struct {
	// Key is the object, and Target and Access what it asks for.
	Key    types.NamespacedName
	Target Target
	Access registry.Access
	// Within is how old a listing that somebody else asked for may be; zero wants
	// one that is made after the call.
	Within time.Duration
	// Known is how many tags the object had at its last scan, if that is known from
	// elsewhere than the store, as from a status that outlived it; else zero.
	Known int
}

// listCall is one request for a listing, and those who wait for it.
type listCall struct {
	registry.ID
	ask    Ask
	host   *registry.Host
	budget atomic.Int64
	task   *background.Task[*listing]

	// Of the scanner, under its lock.
	waiting   map[types.NamespacedName]Ask // to be woken
	next      map[types.NamespacedName]Ask // want a listCall that starts later
	within    time.Duration                // how old a listing may be when it starts
	completed bool

	// Set before the listCall has completed, and ended is closed.
	list  *listing
	err   error
	ended chan struct{}
}

// Scan returns the tags for ask, and keeps them in the store. The error is
// [ErrPending] when that takes longer than a worker waits. The context is the one of
// the process: others may wait for the same listing.
func (s *Scanner) Scan(ctx context.Context, ask Ask) (*Snapshot, error) {
	image := ask.Target.Image(ask.Access)
	id := image.ID()
	if done, ok := s.exclusions.Collect(ask.Key); ok && done.Input == ask.Target.source {
		return s.use(ask, done.Value, done.Err)
	}
	if f := s.collect(ask.Key, id); f != nil {
		return s.result(ctx, ask, f)
	}
	if list := s.store.listing(id); list != nil && s.isRecent(list, ask.Within) {
		s.client.count(ask.Target, outcomeShared)
		return s.snapshot(ctx, ask, list)
	}
	if err := s.client.registry.Limited(image); err != nil {
		return nil, err
	}
	if list := s.follow(ctx, id, ask); list != nil {
		return s.snapshot(ctx, ask, list)
	}
	f := s.join(ctx, id, s.client.registry.Host(image), ask)
	if f == nil || !s.wait(ctx, f, ask) {
		return nil, ErrPending
	}
	return s.result(ctx, ask, f)
}

// follow returns the listing that another namespace is asking for, if it comes soon.
func (s *Scanner) follow(ctx context.Context, id registry.ID, ask Ask) *listing {
	f := s.another(id, ask)
	if f == nil {
		return nil
	}
	f.task.Wait(ctx, s.patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.completed || f.err != nil {
		return nil
	}
	s.client.count(ask.Target, outcomeShared)
	return f.list
}

// another returns a listCall of another namespace that is under way and would do for ask,
// which has none of its own.
func (s *Scanner) another(id registry.ID, ask Ask) *listCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.listCalls[id]
	if ask.Within == 0 || calls[ask.Key.Namespace] != nil {
		return nil
	}
	for _, f := range calls {
		if f.task.Started() {
			return f
		}
	}
	return nil
}

// isRecent reports whether a listing is younger than d. One from the future, as after
// a clock was set back, is of any age.
func (s *Scanner) isRecent(list *listing, d time.Duration) bool {
	age := s.client.clock.Now().Sub(list.at)
	return age >= 0 && age < d
}

// Forget drops what is known of an object that is gone.
func (s *Scanner) Forget(key types.NamespacedName) {
	s.mu.Lock()
	delete(s.outcomes, key)
	delete(s.unconfirmed, unconfirmedKey{object: key})
	s.mu.Unlock()
	s.exclusions.Forget(key)
	s.store.Delete(key)
}

// collect takes the outcome that waits for key, if it is still what it wants.
func (s *Scanner) collect(key types.NamespacedName, id registry.ID) *listCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.outcomes[key]
	delete(s.outcomes, key)
	if f == nil || f.ID != id {
		return nil
	}
	return f
}

// join returns the listCall that answers ask, and starts one if there is none. It
// returns nil when the answer is a listCall after the present one, which may have
// read the tags before what ask knows of happened.
func (s *Scanner) join(ctx context.Context, id registry.ID, h *registry.Host, ask Ask) *listCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.listCalls[id][ask.Key.Namespace]
	if f == nil {
		return s.start(ctx, id, h, ask)
	}
	f.widen(ask, s.MaxTags(ask.Target))
	_, queued := f.next[ask.Key]
	_, waits := f.waiting[ask.Key]
	if queued || ask.Within == 0 && f.task.Started() && !waits {
		f.next[ask.Key] = ask
		return nil
	}
	return f
}

// start begins a listCall. The lock is held. The target's timeout ends it.
func (s *Scanner) start(ctx context.Context, id registry.ID, h *registry.Host, ask Ask) *listCall {
	f := &listCall{
		ID: id, ask: ask, host: h, within: ask.Within, ended: make(chan struct{}),
		waiting: map[types.NamespacedName]Ask{}, next: map[types.NamespacedName]Ask{},
	}
	f.budget.Store(int64(s.client.MaxTags(ask.Target)))
	if s.listCalls[id] == nil {
		s.listCalls[id] = map[string]*listCall{}
	}
	s.listCalls[id][ask.Key.Namespace] = f
	f.task = background.Start(ctx, h.Queue(), ask.Key.Namespace,
		func(ctx context.Context) (*listing, error) { return s.listing(ctx, f) },
		func(list *listing, err error) { s.complete(ctx, f, list, err) })
	return f
}

// widen makes a listCall do for another ask, which may have as many tags. The lock of the scanner
// is held.
func (f *listCall) widen(ask Ask, tags int) {
	f.budget.Store(max(f.budget.Load(), int64(tags)))
	f.within = min(f.within, ask.Within)
}

// listing asks the registry, unless another namespace did while this one waited for a slot.
func (s *Scanner) listing(ctx context.Context, f *listCall) (*listing, error) {
	last := s.store.listing(f.ID)
	s.mu.Lock()
	within := f.within
	s.mu.Unlock()
	if last != nil && s.isRecent(last, within) {
		s.client.count(f.ask.Target, outcomeShared)
		return last, nil
	}
	list, err := s.client.list(ctx, f.ask.Target, f.ask.Access, listOptions{
		last: last, budget: func() int { return int(f.budget.Load()) },
	})
	if err != nil {
		return nil, err
	}
	if err := s.confirmListing(last, list); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", f.ask.Target.Repository, err)
	}
	if err := s.store.checkMemory(f.ask.Key.Namespace, list, last); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", f.ask.Target.Repository, err)
	}
	return s.store.replaceListing(list, f.ask.Key.Namespace), nil
}

// complete hands the outcome to those who wait, and starts the next listCall if some
// want a later one.
func (s *Scanner) complete(ctx context.Context, f *listCall, list *listing, err error) {
	s.mu.Lock()
	f.list, f.err, f.completed = list, err, true
	close(f.ended)
	namespace := f.ask.Key.Namespace
	if delete(s.listCalls[f.ID], namespace); len(s.listCalls[f.ID]) == 0 {
		delete(s.listCalls, f.ID)
	}
	woken := make([]types.NamespacedName, 0, len(f.waiting))
	for key, ask := range f.waiting {
		if f.isPremature(err, ask) {
			f.next[key] = ask
			continue
		}
		s.outcomes[key] = f
		woken = append(woken, key)
	}
	for key, ask := range f.next {
		next := s.listCalls[f.ID][namespace]
		if next == nil {
			next = s.start(ctx, f.ID, f.host, mostPatient(f.next, ask))
		}
		next.waiting[key] = ask
		next.widen(ask, s.MaxTags(ask.Target))
	}
	s.mu.Unlock()
	for _, key := range woken {
		s.done.Wake(key)
	}
}

// isPremature reports whether the listCall failed since whoever was first has less patience
// than ask.
func (f *listCall) isPremature(err error, ask Ask) bool {
	return errors.Is(err, registry.ErrTimeout) && ask.Target.Timeout > f.ask.Target.Timeout
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

// wait waits for the listCall, but no longer than is worth a worker's time; after that
// the object is woken when it has completed.
func (s *Scanner) wait(ctx context.Context, f *listCall, ask Ask) bool {
	f.task.Wait(ctx, s.patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.completed {
		f.waiting[ask.Key] = ask
	}
	return f.completed
}

func (s *Scanner) result(ctx context.Context, ask Ask, f *listCall) (*Snapshot, error) {
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
			return s.exclude(ctx, ask, list)
		}
	}
	return s.use(ask, newSnapshot(ask.Target, list, last), nil)
}

// exclude makes the snapshot in the background.
func (s *Scanner) exclude(ctx context.Context, ask Ask, list *listing) (*Snapshot, error) {
	request := background.Request[types.NamespacedName]{Key: ask.Key, Namespace: ask.Key.Namespace, Input: ask.Target.source}
	snapshot, err := s.exclusions.Run(ctx, request, func(context.Context) (*Snapshot, error) {
		return newSnapshot(ask.Target, list, nil), nil
	})
	if errors.Is(err, background.ErrPending) {
		return nil, ErrPending
	}
	return s.use(ask, snapshot, err)
}

// use puts a snapshot into the store.
func (s *Scanner) use(ask Ask, snapshot *Snapshot, err error) (*Snapshot, error) {
	if err != nil {
		return nil, fmt.Errorf("applying spec.exclusionList to the tags of %s: %w", ask.Target.Repository, err)
	}
	last, _ := s.store.Get(ask.Key, ask.Target)
	if err := s.confirmSnapshot(ask, last, snapshot); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", ask.Target.Repository, err)
	}
	s.store.Put(ask.Key, snapshot)
	return snapshot, nil
}
