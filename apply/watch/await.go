package watch

import (
	"maps"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// Awaited is an object that somebody waits for, as of the given version.
type Awaited struct {
	schema.GroupVersionKind
	inventory.ID
	// ResourceVersion is the version that was found not to be healthy; "" when
	// the object was not there. Older news of the object is no news.
	ResourceVersion string
	// Gone waits for the object to disappear instead.
	Gone bool
	// Failed says that the failure is known, and only recovery is news.
	Failed bool
}

// check is what one owner waits for.
type check struct {
	pending map[inventory.ID]Awaited
}

// Await notifies owner when the last of objects has become healthy, or as soon
// as one of them has failed. It replaces what owner waited for before; with no
// objects owner waits no more. News that came between the caller's look and
// this call counts: it reports false, and waits for nothing, when there is
// some, and the caller should look again.
func (s *Set) Await(owner Owner, objects []Awaited) (waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(owner)
	if len(objects) == 0 {
		return false
	}
	c := &check{pending: make(map[inventory.ID]Awaited, len(objects))}
	for _, o := range objects {
		seen, sight := s.look(o.GroupVersionKind, o.ID, o.ResourceVersion)
		if o.failedBy(seen, sight) {
			return false
		}
		if !o.resolvedBy(seen, sight) {
			c.pending[o.ID] = o
		}
	}
	if len(c.pending) == 0 {
		return false
	}
	s.checks[owner] = c
	for id := range c.pending {
		if s.waiters[id] == nil {
			s.waiters[id] = map[Owner]bool{}
		}
		s.waiters[id][owner] = true
	}
	return true
}

// settle ends owner's waiting.
func (s *Set) settle(owner Owner) {
	c := s.checks[owner]
	if c == nil {
		return
	}
	delete(s.checks, owner)
	for id := range c.pending {
		s.leave(id, owner)
	}
}

func (s *Set) leave(id inventory.ID, owner Owner) {
	if delete(s.waiters[id], owner); len(s.waiters[id]) == 0 {
		delete(s.waiters, id)
	}
}

// resolvedBy reports whether what is seen now ends the waiting for the object.
func (a Awaited) resolvedBy(seen *Observed, sight Sight) bool {
	if a.Gone {
		return sight == Missing
	}
	return sight == Seen && !seen.OlderThan(a.ResourceVersion) && seen.Status == status.CurrentStatus
}

// failedBy reports whether what is seen now ends everything.
func (a Awaited) failedBy(seen *Observed, sight Sight) bool {
	return !a.Gone && !a.Failed && sight == Seen && !seen.OlderThan(a.ResourceVersion) && seen.Status == status.FailedStatus
}

// News is what an informer learned of one object.
type News struct {
	schema.GroupVersionKind
	inventory.ID
	Sight
	// Seen is the object as it is or, when it is Missing, as it was last.
	Seen *Observed
	// Doubtful says that the object was found missing later, and may have been
	// another one before it went.
	Doubtful bool
}

// handler turns informer events into news.
func (s *Set) handler(gvk schema.GroupVersionKind) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.news(gvk, nil, obj, Seen) },
		UpdateFunc: func(was, obj any) { s.news(gvk, was, obj, Seen) },
		DeleteFunc: func(obj any) { s.news(gvk, nil, obj, Missing) },
	}
}

// news tells owners that wait for the object what has become of it, and those whose
// it is, or was, that somebody changed it.
func (s *Set) news(gvk schema.GroupVersionKind, before, obj any, sight Sight) {
	n := News{GroupVersionKind: gvk, Sight: sight}
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj, n.Doubtful = gone.Obj, true
	}
	seen, ok := obj.(*Observed)
	if !ok {
		return
	}
	n.Seen, n.ID = seen, inventory.ID{Namespace: seen.Namespace, Name: seen.Name, Group: gvk.Group, Kind: gvk.Kind}
	for _, owner := range s.tell(n.ID, seen, sight) {
		s.notify(owner)
	}
	was, _ := before.(*Observed)
	if was != nil && was.same(seen) {
		return // a status, as most news
	}
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	if changed == nil {
		return
	}
	owner := OwnerOf(seen.Labels)
	changed(owner, n)
	if was != nil && OwnerOf(was.Labels) != owner {
		changed(OwnerOf(was.Labels), n)
	}
}

// same reports whether nothing but the status differs, or what others own.
func (o *Observed) same(as *Observed) bool {
	return o.UID == as.UID && o.Print == as.Print && o.Rivals == as.Rivals &&
		maps.Equal(o.Labels, as.Labels) && maps.Equal(o.Annotations, as.Annotations)
}

// OwnerOf returns the owner that labels name; zero when they do not.
func OwnerOf(labels map[string]string) Owner {
	return Owner{Namespace: labels[NamespaceLabel], Name: labels[OwnerLabel]}
}

// OnChange sets who is told, from informers' goroutines, that an object of an owner
// was changed or deleted, by the owner itself or by others.
func (s *Set) OnChange(changed func(Owner, News)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = changed
}

// Notify notifies owner.
func (s *Set) Notify(owner Owner) { s.notify(owner) }

// tell updates the checks that wait for id and returns the owners to notify.
func (s *Set) tell(id inventory.ID, seen *Observed, sight Sight) []Owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notify []Owner
	for owner := range s.waiters[id] {
		c := s.checks[owner]
		awaited := c.pending[id]
		switch {
		case awaited.failedBy(seen, sight):
			notify = append(notify, owner)
		case awaited.resolvedBy(seen, sight):
			delete(c.pending, id)
			s.leave(id, owner)
			if len(c.pending) == 0 {
				delete(s.checks, owner)
				notify = append(notify, owner)
			}
		}
	}
	return notify
}
