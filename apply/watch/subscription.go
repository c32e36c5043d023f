// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// Handler is called with news, from informers' goroutines.
type Handler interface {
	// HealthChanged says that it is worth to look again: the last awaited object is healthy, or one failed, or an informer
	// has become able to list its kind, or is not any more.
	HealthChanged()
	// ObjectChanged says that an object with the owner's labels was changed or deleted,
	// by the owner itself or by others, or that one of a kind that it watches is gone,
	// which it may have applied as well. A changed status is no change.
	ObjectChanged(Event)
}

// Event is what an informer learned of one object.
type Event struct {
	schema.GroupVersionKind
	inventory.ID
	decide.Freshness
	// Seen is the object as it is or, when it is Missing, as it was last.
	Seen *decide.LiveObject
	// Doubtful says that the object was found missing later, and may have been
	// another one before it went.
	Doubtful bool
}

// Subscription is one owner's part in the informers: those that it uses, and the
// objects that it waits for.
type Subscription struct {
	informers *Informers
	owner     decide.Owner
	handler   Handler

	// Under the informers' lock.
	targets map[Target]bool
	pending map[inventory.ID]decide.Awaited
	rules   *Rules
}

// Subscribe has handler called with news of the objects of owner, until the subscription
// is closed.
func (s *Informers) Subscribe(owner decide.Owner, handler Handler) *Subscription {
	sub := &Subscription{informers: s, owner: owner, handler: handler}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[owner] = sub
	return sub
}

// Read makes rules those by which the owner's objects are read from now on. What
// informers hold already was read by the former ones, and is Unknown until it changes.
func (u *Subscription) Read(rules *Rules) {
	u.informers.mu.Lock()
	defer u.informers.mu.Unlock()
	u.rules = rules
}

// Observe returns what is known of an object as it was left, nil for any state. What is
// still as it was left is returned as it was read then.
func (u *Subscription) Observe(
	gvk schema.GroupVersionKind, id inventory.ID, left *decide.LiveObject,
) (*decide.LiveObject, decide.Freshness) {
	s, since := u.informers, ""
	if left != nil {
		since = left.ResourceVersion
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, freshness := s.observe(gvk, id, since, u.rules)
	if freshness == decide.Unknown && left != nil && s.holds(gvk, id, since) {
		return left, decide.Fresh
	}
	return seen, freshness
}

// Use makes targets what the owner watches: missing informers start, and those that
// nobody uses any more stop. A kind that the cluster does not know is left out;
// its objects are Unknown.
func (u *Subscription) Use(ctx context.Context, targets []Target) {
	s := u.informers
	known := map[Target]*meta.RESTMapping{}
	s.mu.Lock()
	for left := s.unresolved(targets, known); len(left) > 0; left = s.unresolved(targets, known) {
		s.mu.Unlock()
		s.findKinds(ctx, left, known)
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	wanted := make(map[Target]bool, len(targets))
	for _, target := range targets {
		if inf := s.ensure(ctx, target, known[target], u); inf != nil {
			inf.users[u] = true
			wanted[target] = true
		}
	}
	for target := range u.targets {
		if wanted[target] {
			continue
		}
		inf := s.byTarget[target]
		if delete(inf.users, u); len(inf.users) == 0 {
			s.stop(target)
		}
	}
	u.targets = wanted
}

// Close ends the subscription.
func (u *Subscription) Close(ctx context.Context) {
	u.Use(ctx, nil)
	s := u.informers
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopWaiting(u)
	if s.owners[u.owner] == u {
		delete(s.owners, u.owner)
	}
}

// WaitSynced returns once all of the owner's informers have listed, or cannot, or
// ctx is done.
func (u *Subscription) WaitSynced(ctx context.Context) {
	u.informers.mu.Lock()
	waitFor := make([]*informer, 0, len(u.targets))
	for target := range u.targets {
		waitFor = append(waitFor, u.informers.byTarget[target])
	}
	u.informers.mu.Unlock()
	for _, inf := range waitFor {
		select {
		case <-inf.HasSyncedChecker().Done():
		case <-inf.blind:
		case <-ctx.Done():
			return
		}
	}
}

// Await has the handler told when the last of objects has become healthy, or gone, or
// as soon as one of them has failed. It replaces what was waited for before; with no
// objects nothing is waited for. News that came between the caller's look and this call
// counts: Await reports false, and waits for nothing, when there is some, and the
// caller should look again.
func (u *Subscription) Await(objects []decide.Awaited) (waiting bool) {
	s := u.informers
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopWaiting(u)
	pending := make(map[inventory.ID]decide.Awaited, len(objects))
	for _, o := range objects {
		seen, freshness := s.observe(o.GroupVersionKind, o.ID, o.ResourceVersion, u.rules)
		if o.FailedBy(seen, freshness) {
			return false
		}
		if !o.ResolvedBy(seen, freshness) {
			pending[o.ID] = o
		}
	}
	u.pending = pending
	for id := range pending {
		if s.waiting[id] == nil {
			s.waiting[id] = map[*Subscription]bool{}
		}
		s.waiting[id][u] = true
	}
	return len(pending) > 0
}

// stopWaiting ends the waiting of a subscription. The lock is held.
func (s *Informers) stopWaiting(u *Subscription) {
	for id := range u.pending {
		s.leave(id, u)
	}
	u.pending = nil
}

func (s *Informers) leave(id inventory.ID, u *Subscription) {
	if delete(s.waiting[id], u); len(s.waiting[id]) == 0 {
		delete(s.waiting, id)
	}
}

// handler turns an informer's events into news.
func (s *Informers) handler(gvk schema.GroupVersionKind) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.handle(gvk, nil, obj, decide.Fresh) },
		UpdateFunc: func(was, obj any) { s.handle(gvk, was, obj, decide.Fresh) },
		DeleteFunc: func(obj any) { s.handle(gvk, nil, obj, decide.Missing) },
	}
}

// handle tells owners that wait for the object what has become of it, and those whose
// it is, or was, that somebody changed it.
func (s *Informers) handle(gvk schema.GroupVersionKind, before, obj any, freshness decide.Freshness) {
	change := Event{GroupVersionKind: gvk, Freshness: freshness}
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj, change.Doubtful = gone.Obj, true
	}
	seen, ok := obj.(*decide.LiveObject)
	if !ok {
		return
	}
	change.Seen = seen
	change.ID = inventory.ID{Namespace: seen.Namespace, Name: seen.Name, Group: gvk.Group, Kind: gvk.Kind}
	for _, u := range s.resolve(change, seen) {
		u.handler.HealthChanged()
	}
	was, _ := before.(*decide.LiveObject)
	if was != nil && sameButStatus(was, seen) {
		return // as most news
	}
	owner := s.observer.profile.OwnerOf(seen.Labels)
	s.notify(owner, change)
	if was != nil && s.observer.profile.OwnerOf(was.Labels) != owner {
		s.notify(s.observer.profile.OwnerOf(was.Labels), change)
	}
	if freshness == decide.Missing {
		s.notifyOthers(owner, change)
	}
}

// notifyOthers notifies those who watch the kind of an object that is gone, but for the owner
// whose labels it had: what two apply has the labels of one, and is missing to both.
func (s *Informers) notifyOthers(owner decide.Owner, change Event) {
	s.mu.Lock()
	var others []*Subscription
	if inf := s.byTarget[Target{GroupVersionKind: change.GroupVersionKind}]; inf != nil {
		for u := range inf.users {
			if u.owner != owner {
				others = append(others, u)
			}
		}
	}
	s.mu.Unlock()
	for _, u := range others {
		u.handler.ObjectChanged(change)
	}
}

// notify notifies the owner of an object.
func (s *Informers) notify(owner decide.Owner, change Event) {
	s.mu.Lock()
	u := s.owners[owner]
	s.mu.Unlock()
	if u != nil {
		u.handler.ObjectChanged(change)
	}
}

// sameButStatus reports whether nothing but the status differs, or what others own.
func sameButStatus(a, b *decide.LiveObject) bool {
	return a.UID == b.UID && a.FieldHash == b.FieldHash && a.FormerHash == b.FormerHash &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// resolve returns the subscriptions that have waited for what is seen of an object.
func (s *Informers) resolve(change Event, seen *decide.LiveObject) []*Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notify []*Subscription
	id, freshness := change.ID, change.Freshness
	for u := range s.waiting[id] {
		awaited := u.pending[id]
		switch {
		case freshness == decide.Fresh && seen.Rules != u.rules.DigestFor(change.GroupVersionKind, seen):
			// It was read by another owner's rules.
		case awaited.FailedBy(seen, freshness):
			notify = append(notify, u)
		case awaited.ResolvedBy(seen, freshness):
			delete(u.pending, id)
			s.leave(id, u)
			if len(u.pending) == 0 {
				notify = append(notify, u)
			}
		}
	}
	return notify
}
