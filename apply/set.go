// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Set is what is remembered of one owner's objects, and its subscription to the
// informers that see them. It lives as long as its owner: see [Set.Close].
type Set struct {
	engine *Engine
	owner  decide.Owner
	watch  *watch.Subscription
	memory *memory

	identity   Identity
	references []Reference
	grants     map[Reference]grant
}

// Close forgets everything and stops watching.
func (s *Set) Close(ctx context.Context) { s.watch.Close(ctx) }

// Drift compares what was applied with what the informers see. It costs no call.
func (s *Set) Drift() decide.DriftSummary { return s.memory.drift(s.engine.clock.Now()) }

// EndPauses lets the next apply repair the objects whose repairs are paused because
// somebody keeps changing them: a reconcile was requested.
func (s *Set) EndPauses() { s.memory.endPauses() }

// targets is what the remembered objects need watched.
func (s *Set) targets() []watch.Target {
	kinds := map[schema.GroupVersionKind]bool{}
	var targets []watch.Target
	for _, a := range s.memory.applied {
		if !kinds[a.GroupVersionKind] {
			kinds[a.GroupVersionKind] = true
			targets = append(targets, watch.Target{GroupVersionKind: a.GroupVersionKind})
		}
	}
	for _, ref := range s.references {
		targets = append(targets, ref.target())
	}
	return targets
}

// memory is how objects were left. The owner's reconciles run one after another, and
// are the only ones that write what was applied; informers look at it meanwhile.
type memory struct {
	profile   *decide.Profile
	informers *watch.Informers
	owner     decide.Owner
	wake      func()

	mu      sync.Mutex
	applied map[inventory.ID]*decide.Applied
	// applying says that an apply is under way: what informers tell is then mostly its
	// own doing. It is looked at after.
	applying bool
	touched  map[inventory.ID]bool
	// drifted are objects of which an informer told that somebody changed them.
	drifted map[inventory.ID]bool
	// repairs are about objects that somebody changed.
	repairs map[inventory.ID]decide.Repairs
}

func newMemory(e *Engine, owner decide.Owner, wake func()) *memory {
	return &memory{
		profile: e.profile, informers: e.informers, owner: owner, wake: wake,
		applied: map[inventory.ID]*decide.Applied{}, touched: map[inventory.ID]bool{},
		drifted: map[inventory.ID]bool{}, repairs: map[inventory.ID]decide.Repairs{},
	}
}

// HealthChanged implements watch.Handler.
func (m *memory) HealthChanged() { m.wake() }

// ObjectChanged implements watch.Handler: a drift wakes the owner.
func (m *memory) ObjectChanged(c watch.Change) {
	if m.noteChange(c) {
		m.wake()
	}
}

// noteChange reports whether a change means that an object has drifted.
func (m *memory) noteChange(c watch.Change) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.applied[c.ID]
	switch {
	case m.applying:
		m.touched[c.ID] = true
		return false
	case a == nil || c.Seen.OlderThan(a.Version()) && !c.Doubtful:
		return false
	}
	seen, freshness := c.Seen, c.Freshness
	if c.Doubtful {
		seen, freshness = m.informers.Look(a.GroupVersionKind, c.ID, a.Version())
	}
	if m.profile.DriftOf(m.owner, a, seen, freshness) != decide.Drifted {
		delete(m.drifted, c.ID)
		return false
	}
	m.drifted[c.ID] = true
	return true
}

// driftOf judges an object by what the informers see now.
func (m *memory) driftOf(id inventory.ID, a *decide.Applied) decide.Drift {
	seen, freshness := m.informers.Look(a.GroupVersionKind, id, a.Version())
	return m.profile.DriftOf(m.owner, a, seen, freshness)
}

// drift judges all objects. Of an owner of whom nothing was applied it knows nothing.
func (m *memory) drift(now time.Time) decide.DriftSummary {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found decide.DriftSummary
	for id, a := range m.applied {
		drift := m.driftOf(id, a)
		if m.drifted[id] {
			drift = decide.Drifted
		}
		repairs := m.repairs[id]
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

// begin says that what informers tell from now on may be the owner's own doing.
func (m *memory) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applying = true
}

// end reports whether an object drifted since begin.
func (m *memory) end() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applying = false
	drifted := false
	for id := range m.touched {
		if a := m.applied[id]; a != nil {
			drifted = drifted || m.driftOf(id, a) == decide.Drifted
		}
	}
	clear(m.touched)
	return drifted
}

// keep forgets the objects that are not in the set any more.
func (m *memory) keep(ids map[inventory.ID]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.applied {
		if !ids[id] {
			delete(m.applied, id)
			delete(m.drifted, id)
			delete(m.repairs, id)
		}
	}
}

// note remembers how an object was left.
func (m *memory) note(id inventory.ID, left *decide.Applied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied[id] = left
	delete(m.drifted, id)
}

// repairsOf returns how often an object was repaired.
func (m *memory) repairsOf(id inventory.ID) decide.Repairs {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.repairs[id]
}

func (m *memory) setRepairs(id inventory.ID, repairs decide.Repairs) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.repairs[id] = repairs
}

func (m *memory) endPauses() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, repairs := range m.repairs {
		repairs.Until = time.Time{}
		m.repairs[id] = repairs
	}
}
