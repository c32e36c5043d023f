// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Set is the objects of one owner as they were applied last, and the subscription to the
// informers that see them. It lives as long as its owner: see [Set.Close].
type Set struct {
	engine  *Engine
	owner   decide.Owner
	watch   *watch.Subscription
	tracker *tracker

	identity   Impersonation
	rules      *watch.Rules
	references []Reference
	grants     map[Reference]grant
	// reads are the objects that are read since nobody watches them.
	reads objectReads
}

// Close forgets everything and stops watching.
func (s *Set) Close(ctx context.Context) {
	s.watch.Close(ctx)
	s.tracker.retain(nil)
}

// Shared are the objects that other owners apply as well, as far as they were applied since
// the process started.
func (s *Set) Shared() []SharedObject { return s.tracker.owners.sharedOf(s.tracker) }

// AccountExists reports whether an identity can be assumed where the objects are.
func (s *Set) AccountExists(ctx context.Context, as Impersonation) (bool, error) {
	return s.engine.AccountExists(ctx, as)
}

// observe reads an object of the owner.
func (s *Set) observe(u *unstructured.Unstructured) *decide.LiveObject {
	return s.engine.observer.With(s.rules).Observe(u)
}

// Drift compares what was applied with what the informers see. It costs no call.
func (s *Set) Drift() decide.DriftSummary { return s.tracker.drift(s.engine.clock.Now()) }

// EndPauses lets the next apply repair the objects whose repairs are paused because
// somebody keeps changing them: a reconcile was requested.
func (s *Set) EndPauses() { s.tracker.endPauses() }

// targets are the kinds and objects to watch.
func (s *Set) targets() []watch.Target {
	kinds := map[schema.GroupVersionKind]bool{}
	var targets []watch.Target
	for _, a := range s.tracker.applied {
		if !kinds[a.GroupVersionKind] {
			kinds[a.GroupVersionKind] = true
			targets = append(targets, watch.Target{GroupVersionKind: a.GroupVersionKind})
		}
	}
	return append(targets, referenceTargets(s.references, s.rules)...)
}

// tracker knows how the owner's objects were applied last, and which of them drifted
// since. Only the owner's reconciles, which run one after another, change what was
// applied; informers read it meanwhile.
type tracker struct {
	profile *decide.Profile
	owner   decide.Owner
	wake    func()
	owners  *owners

	mu      sync.Mutex
	watch   *watch.Subscription
	applied map[inventory.ID]*decide.Applied
	// applying says that an apply is under way. Most changes that informers see then are
	// its own; they are compared after it.
	applying bool
	touched  map[inventory.ID]bool
	// drifted are objects that an informer saw somebody else change.
	drifted map[inventory.ID]bool
	// repairs are about objects that somebody changed.
	repairs map[inventory.ID]decide.Repairs
}

func newTracker(e *Engine, owner decide.Owner, wake func()) *tracker {
	t := &tracker{
		profile: e.profile, owner: owner, wake: wake, owners: &e.owners,
		applied: map[inventory.ID]*decide.Applied{}, touched: map[inventory.ID]bool{},
		drifted: map[inventory.ID]bool{}, repairs: map[inventory.ID]decide.Repairs{},
	}
	t.mu.Lock() // news may come before there is something to look at it with
	defer t.mu.Unlock()
	t.watch = e.informers.Subscribe(owner, t)
	return t
}

// HealthChanged implements watch.Handler.
func (t *tracker) HealthChanged() { t.wake() }

// ObjectChanged implements watch.Handler: a drift wakes the owner.
func (t *tracker) ObjectChanged(c watch.Event) {
	if t.noteChange(c) {
		t.wake()
	}
}

// noteChange reports whether a change means that an object has drifted.
func (t *tracker) noteChange(c watch.Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.applied[c.ID]
	switch {
	case t.applying:
		t.touched[c.ID] = true
		return false
	case a == nil || c.Seen.OlderThan(a.Version()) && !c.Doubtful:
		return false
	}
	seen, freshness := c.Seen, c.Freshness
	if c.Doubtful {
		seen, freshness = t.watch.Observe(a.GroupVersionKind, c.ID, a.Left)
	}
	if t.profile.DriftOf(t.owner, a, seen, freshness) != decide.Drifted {
		delete(t.drifted, c.ID)
		return false
	}
	t.drifted[c.ID] = true
	return true
}

// driftOf compares an object with what the informers see now.
func (t *tracker) driftOf(id inventory.ID, a *decide.Applied) decide.Drift {
	seen, freshness := t.watch.Observe(a.GroupVersionKind, id, a.Left)
	return t.profile.DriftOf(t.owner, a, seen, freshness)
}

// drift sums the drift of all objects up; the zero value if nothing was applied.
func (t *tracker) drift(now time.Time) decide.DriftSummary {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found decide.DriftSummary
	for id, a := range t.applied {
		drift := t.driftOf(id, a)
		if t.drifted[id] {
			drift = decide.Drifted
		}
		repairs := t.repairs[id]
		if drift != decide.Drifted || repairs.Pause(now) == 0 {
			found.Worst = max(found.Worst, drift)
			continue
		}
		if found.Resume.IsZero() || repairs.Until.Before(found.Resume) {
			found.Resume = repairs.Until
		}
	}
	return found
}

// beginApply says that an apply begins, whose own changes the informers will see.
func (t *tracker) beginApply() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applying = true
}

// endApply reports whether an object drifted since begin.
func (t *tracker) endApply() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applying = false
	drifted := false
	for id := range t.touched {
		if a := t.applied[id]; a != nil {
			drifted = drifted || t.driftOf(id, a) == decide.Drifted
		}
	}
	clear(t.touched)
	return drifted
}

// retain forgets the objects that are not in the set any more.
func (t *tracker) retain(ids map[inventory.ID]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.applied {
		if !ids[id] {
			delete(t.applied, id)
			delete(t.drifted, id)
			delete(t.repairs, id)
			t.owners.remove(id, t)
		}
	}
}

// record keeps how an object was applied.
func (t *tracker) record(id inventory.ID, left *decide.Applied) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applied[id] = left
	delete(t.drifted, id)
	if left.Action == decide.Skipped || left.IfNotPresent {
		t.owners.remove(id, t)
	} else {
		t.owners.add(id, t)
	}
}

// repairsOf returns how often an object was repaired.
func (t *tracker) repairsOf(id inventory.ID) decide.Repairs {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.repairs[id]
}

func (t *tracker) setRepairs(id inventory.ID, repairs decide.Repairs) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.repairs[id] = repairs
}

func (t *tracker) endPauses() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, repairs := range t.repairs {
		repairs.Until = time.Time{}
		t.repairs[id] = repairs
	}
}
