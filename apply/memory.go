package apply

import (
	"context"
	"crypto/sha256"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// memory is what the engine remembers of one owner. The owner's reconciles run one
// after another, and are the only ones that write what was applied; informers look
// at it meanwhile.
type memory struct {
	owner    Owner
	identity Identity
	others   []Reference
	grants   map[Reference]grant

	mu      sync.Mutex
	applied map[inventory.ID]*applied
	// busy says that an apply is under way: what informers tell is then mostly its
	// own doing. It is looked at after.
	busy  bool
	dirty map[inventory.ID]bool
	// drifted are objects of which an informer told that somebody changed them.
	drifted map[inventory.ID]bool
	// fights are about objects that somebody keeps changing.
	fights map[inventory.ID]*fight
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
	// merges says that other managers' fields stay.
	merges bool
	// declined says that the source itself asks not to apply the object.
	declined bool
}

// ours reports whether the object carried the owner's labels when it was left, so
// that informers would have told if it were gone.
func (a *applied) ours(owner Owner) bool {
	return a.seen != nil && watch.OwnerOf(a.seen.Labels) == owner
}

// version is the resource version that the object was left at.
func (a *applied) version() string {
	if a == nil || a.seen == nil {
		return ""
	}
	return a.seen.ResourceVersion
}

func newMemory(owner Owner) *memory {
	return &memory{
		owner: owner, applied: map[inventory.ID]*applied{}, dirty: map[inventory.ID]bool{},
		drifted: map[inventory.ID]bool{}, fights: map[inventory.ID]*fight{}, grants: map[Reference]grant{},
	}
}

// remember returns the owner's memory.
func (e *Engine) remember(owner Owner) *memory {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.memory[owner] == nil {
		e.memory[owner] = newMemory(owner)
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
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.applied {
		if !ids[id] {
			delete(m.applied, id)
			delete(m.drifted, id)
			delete(m.fights, id)
		}
	}
}

// note remembers what became of an object.
func (m *memory) note(id inventory.ID, done *applied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied[id] = done
	delete(m.drifted, id)
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
		targets = append(targets, ref.target())
	}
	return targets
}
