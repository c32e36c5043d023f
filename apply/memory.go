package apply

import (
	"context"
	"crypto/sha256"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// memory is what the engine remembers of one owner. The owner's reconciles run
// one after another, so it needs no lock of its own.
type memory struct {
	identity Identity
	others   []Reference
	applied  map[inventory.ID]*applied
}

// applied is what became of one object.
type applied struct {
	gvk    schema.GroupVersionKind
	digest [sha256.Size]byte
	action Action
	// seen is the object as it was left; nil when it was skipped unseen.
	seen *watch.Observed
	// expires says that the cluster may delete the object when it is done.
	expires bool
	// present says that only the object's existence matters.
	present bool
}

// version is the resource version that the object was left at.
func (a *applied) version() string {
	if a == nil || a.seen == nil {
		return ""
	}
	return a.seen.ResourceVersion
}

// remember returns the owner's memory.
func (e *Engine) remember(owner Owner) *memory {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.memory[owner] == nil {
		e.memory[owner] = &memory{applied: map[inventory.ID]*applied{}}
	}
	return e.memory[owner]
}

// Forget drops what is remembered of owner and stops watching for it.
func (e *Engine) Forget(ctx context.Context, owner Owner) {
	e.watches.Release(ctx, owner)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.memory, owner)
}

// keep forgets the objects that are not in the set any more.
func (m *memory) keep(ids map[inventory.ID]bool) {
	for id := range m.applied {
		if !ids[id] {
			delete(m.applied, id)
		}
	}
}

// targets is what the remembered objects need watched.
func (m *memory) targets() []watch.Target {
	kinds := map[schema.GroupVersionKind]bool{}
	var targets []watch.Target
	for _, a := range m.applied {
		if !kinds[a.gvk] {
			kinds[a.gvk] = true
			targets = append(targets, watch.Target{GroupVersionKind: a.gvk})
		}
	}
	for _, ref := range m.others {
		targets = append(targets, watch.Target{GroupVersionKind: ref.GroupVersionKind, Namespace: ref.Namespace, Name: ref.Name})
	}
	return targets
}

// Drift is what happened to applied objects behind the owner's back.
type Drift int

// Steady: everything is as it was left. Unsure: some objects cannot be watched.
// Drifted: somebody changed or deleted an object, or nothing is remembered.
const (
	Steady Drift = iota
	Unsure
	Drifted
)

// Drift compares what was applied with what the informers see. It costs no call.
func (e *Engine) Drift(owner Owner) Drift {
	e.mu.Lock()
	mem := e.memory[owner]
	e.mu.Unlock()
	if mem == nil {
		return Drifted
	}
	worst := Steady
	for id, a := range mem.applied {
		worst = max(worst, e.driftOf(id, a))
	}
	return worst
}

func (e *Engine) driftOf(id inventory.ID, a *applied) Drift {
	seen, sight := e.watches.Look(a.gvk, id, a.version())
	switch {
	case sight == watch.Behind:
		return Steady
	case sight == watch.Unknown:
		return Unsure
	case a.action == Skipped && !a.present:
		if sight == watch.Seen && !excluded(seen.Labels, seen.Annotations) {
			return Drifted // the live object may be managed again
		}
		return Steady
	case sight == watch.Missing && a.expires:
		return Steady
	case sight == watch.Missing && a.action == Skipped:
		return Unsure // it exists without our labels, or did
	case sight == watch.Missing:
		return Drifted
	case a.present || a.seen.Print == seen.Print || excluded(seen.Labels, seen.Annotations):
		return Steady
	}
	return Drifted
}
