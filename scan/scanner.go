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

// Request is what an object wants scanned.
type Request struct {
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

// listCall is one request for a listing, and those who wait for it. They are no
// [background.Group], since objects come back for the outcome, and those that want a later
// listing get it from the listCall that starts as this one completes.
type listCall struct {
	registry.ID
	request Request
	host    *registry.Host
	budget  atomic.Int64
	task    *background.Task[*listing]

	// Of the scanner, under its lock.
	waiting   map[types.NamespacedName]Request // to be woken
	next      map[types.NamespacedName]Request // want a listCall that starts later
	within    time.Duration                    // how old a listing may be when it starts
	completed bool
}

// Scan returns the tags for a request, and keeps them in the store. The error is
// [ErrPending] when that takes longer than a worker waits. The context is the one of
// the process: others may wait for the same listing.
func (s *Scanner) Scan(ctx context.Context, request Request) (*Snapshot, error) {
	image := request.Target.Image(request.Access)
	id := image.ID()
	if done, ok := s.exclusions.Collect(request.Key); ok && done.Input == request.Target.source {
		return s.use(request, done.Value, done.Err)
	}
	if call := s.collect(request.Key, id); call != nil {
		return s.result(ctx, request, call)
	}
	if list := s.store.listing(id); list != nil && s.isRecent(list, request.Within) {
		s.client.count(request.Target, outcomeShared)
		return s.snapshot(ctx, request, list)
	}
	if err := s.client.registry.Limited(image); err != nil {
		return nil, err
	}
	if list := s.follow(ctx, id, request); list != nil {
		return s.snapshot(ctx, request, list)
	}
	call := s.join(ctx, id, s.client.registry.Host(image), request)
	if call == nil || !s.wait(ctx, call, request) {
		return nil, ErrPending
	}
	return s.result(ctx, request, call)
}

// follow returns the listing that another namespace is asking for, if it comes soon.
func (s *Scanner) follow(ctx context.Context, id registry.ID, request Request) *listing {
	call := s.another(id, request)
	if call == nil {
		return nil
	}
	call.task.Wait(ctx, s.patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !call.completed {
		return nil
	}
	list, err := call.task.Result()
	if err != nil {
		return nil
	}
	s.client.count(request.Target, outcomeShared)
	return list
}

// another returns a listCall of another namespace that is under way and would do for a request,
// which has none of its own.
func (s *Scanner) another(id registry.ID, request Request) *listCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.listCalls[id]
	if request.Within == 0 || calls[request.Key.Namespace] != nil {
		return nil
	}
	for _, call := range calls {
		if call.task.Started() {
			return call
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
	call := s.outcomes[key]
	delete(s.outcomes, key)
	if call == nil || call.ID != id {
		return nil
	}
	return call
}

// join returns the listCall that answers a request, and starts one if there is none. It
// returns nil when the answer is a listCall after the present one, which may have
// read the tags before what the request knows of happened.
func (s *Scanner) join(ctx context.Context, id registry.ID, h *registry.Host, request Request) *listCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := s.listCalls[id][request.Key.Namespace]
	if call == nil {
		return s.start(ctx, id, h, request)
	}
	call.widen(request, s.MaxTags(request.Target))
	_, queued := call.next[request.Key]
	_, waits := call.waiting[request.Key]
	if queued || request.Within == 0 && call.task.Started() && !waits {
		call.next[request.Key] = request
		return nil
	}
	return call
}

// start begins a listCall. The lock is held. The target's timeout ends it.
func (s *Scanner) start(ctx context.Context, id registry.ID, h *registry.Host, request Request) *listCall {
	call := &listCall{
		ID: id, request: request, host: h, within: request.Within,
		waiting: map[types.NamespacedName]Request{}, next: map[types.NamespacedName]Request{},
	}
	call.budget.Store(int64(s.client.MaxTags(request.Target)))
	if s.listCalls[id] == nil {
		s.listCalls[id] = map[string]*listCall{}
	}
	s.listCalls[id][request.Key.Namespace] = call
	call.task = background.Start(ctx, h.Queue(), request.Key.Namespace,
		func(ctx context.Context) (*listing, error) { return s.listing(ctx, call) },
		func(_ *listing, err error) { s.complete(ctx, call, err) })
	return call
}

// widen makes a listCall do for another ask, which may have as many tags. The lock of the scanner
// is held.
func (call *listCall) widen(request Request, tags int) {
	call.budget.Store(max(call.budget.Load(), int64(tags)))
	call.within = min(call.within, request.Within)
}

// listing asks the registry, unless another namespace did while this one waited for a slot.
func (s *Scanner) listing(ctx context.Context, call *listCall) (*listing, error) {
	last := s.store.listing(call.ID)
	s.mu.Lock()
	within := call.within
	s.mu.Unlock()
	if last != nil && s.isRecent(last, within) {
		s.client.count(call.request.Target, outcomeShared)
		return last, nil
	}
	list, err := s.client.list(ctx, call.request.Target, call.request.Access, listOptions{
		last: last, budget: func() int { return int(call.budget.Load()) },
	})
	if err != nil {
		return nil, err
	}
	if err := s.confirmListing(last, list); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", call.request.Target.Repository, err)
	}
	if err := s.store.checkMemory(call.request.Key.Namespace, list, last); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", call.request.Target.Repository, err)
	}
	return s.store.replaceListing(list, call.request.Key.Namespace), nil
}

// complete hands the outcome to those who wait, and starts the next listCall if some
// want a later one.
func (s *Scanner) complete(ctx context.Context, call *listCall, err error) {
	s.mu.Lock()
	call.completed = true
	namespace := call.request.Key.Namespace
	if delete(s.listCalls[call.ID], namespace); len(s.listCalls[call.ID]) == 0 {
		delete(s.listCalls, call.ID)
	}
	woken := make([]types.NamespacedName, 0, len(call.waiting))
	for key, request := range call.waiting {
		if call.isPremature(err, request) {
			call.next[key] = request
			continue
		}
		s.outcomes[key] = call
		woken = append(woken, key)
	}
	for key, request := range call.next {
		next := s.listCalls[call.ID][namespace]
		if next == nil {
			next = s.start(ctx, call.ID, call.host, mostPatient(call.next, request))
		}
		next.waiting[key] = request
		next.widen(request, s.MaxTags(request.Target))
	}
	s.mu.Unlock()
	for _, key := range woken {
		s.done.Wake(key)
	}
}

// isPremature reports whether the listCall failed by the timeout of the request that began it, which is shorter than that of
// this request.
func (call *listCall) isPremature(err error, request Request) bool {
	return errors.Is(err, registry.ErrTimeout) && request.Target.Timeout > call.request.Target.Timeout
}

// mostPatient is one of requests, or request.
func mostPatient(requests map[types.NamespacedName]Request, request Request) Request {
	for _, other := range requests {
		if other.Target.Timeout > request.Target.Timeout {
			request = other
		}
	}
	return request
}

// wait waits for the listCall, but no longer than is worth a worker's time; after that
// the object is woken when it has completed.
func (s *Scanner) wait(ctx context.Context, call *listCall, request Request) bool {
	call.task.Wait(ctx, s.patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !call.completed {
		call.waiting[request.Key] = request
	}
	return call.completed
}

func (s *Scanner) result(ctx context.Context, request Request, call *listCall) (*Snapshot, error) {
	list, err := call.task.Result()
	if err != nil {
		return nil, err
	}
	return s.snapshot(ctx, request, list)
}

// snapshot leaves out what the object excludes, and keeps the rest in the store.
func (s *Scanner) snapshot(ctx context.Context, request Request, list *listing) (*Snapshot, error) {
	if err := s.client.within(request.Target, list); err != nil {
		return nil, err
	}
	last, _ := s.store.Get(request.Key, request.Target)
	if last == nil || last.list.tags != list.tags {
		if err := pattern.Check(request.Target.size, len(list.tags.text)); err != nil {
			return nil, fmt.Errorf("%w: spec.exclusionList: %w", ErrInvalidExclusion, err)
		}
		if int64(request.Target.size)*int64(len(list.tags.text)) > pattern.Light {
			return s.exclude(ctx, request, list)
		}
	}
	return s.use(request, newSnapshot(request.Target, list, last), nil)
}

// exclude makes the snapshot in the background.
func (s *Scanner) exclude(ctx context.Context, request Request, list *listing) (*Snapshot, error) {
	task := background.Request[types.NamespacedName]{Key: request.Key, Namespace: request.Key.Namespace, Input: request.Target.source}
	snapshot, err := s.exclusions.Run(ctx, task, func(context.Context) (*Snapshot, error) {
		return newSnapshot(request.Target, list, nil), nil
	})
	if errors.Is(err, background.ErrPending) {
		return nil, ErrPending
	}
	return s.use(request, snapshot, err)
}

// use puts a snapshot into the store.
func (s *Scanner) use(request Request, snapshot *Snapshot, err error) (*Snapshot, error) {
	if err != nil {
		return nil, fmt.Errorf("applying spec.exclusionList to the tags of %s: %w", request.Target.Repository, err)
	}
	last, _ := s.store.Get(request.Key, request.Target)
	if err := s.confirmSnapshot(request, last, snapshot); err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", request.Target.Repository, err)
	}
	s.store.Put(request.Key, snapshot)
	return snapshot, nil
}
