package apply

import (
	"time"

	"github.com/sluice-cd/sluice/apply/watch"
)

// Drift is what happened to applied objects behind the owner's back.
type Drift int

// Steady: everything is as it was left. Unsure: some objects cannot be watched, or
// are another owner's now. Drifted: somebody changed or deleted an object, or nothing
// is remembered.
const (
	Steady Drift = iota
	Unsure
	Drifted
)

// Drift compares what was applied with what the informers see. It costs no call. An
// object that somebody keeps changing counts after a pause; again is when the first
// of them is over, zero if there is none.
func (e *Engine) Drift(owner Owner) (worst Drift, again time.Time) {
	e.mu.Lock()
	mem := e.memory[owner]
	e.mu.Unlock()
	if mem == nil {
		return Drifted, again
	}
	now := e.Clock.Now()
	mem.mu.Lock()
	defer mem.mu.Unlock()
	for id, a := range mem.applied {
		seen, sight := e.watches.Look(a.gvk, id, a.version())
		drift := a.drift(owner, seen, sight)
		if mem.drifted[id] {
			drift = Drifted
		}
		if f := mem.fights[id]; drift == Drifted && f != nil && now.Before(f.until) {
			if again.IsZero() || f.until.Before(again) {
				again = f.until
			}
			continue
		}
		worst = max(worst, drift)
	}
	return worst, again
}

// drift judges what is seen of an object against how it was left.
func (a *applied) drift(owner Owner, seen *watch.Observed, sight watch.Sight) Drift {
	switch {
	case sight == watch.Behind, a.declined:
		return Steady
	case sight == watch.Unknown:
		return Unsure
	case sight == watch.Missing:
		return a.missing(owner)
	case excluded(seen.Labels, seen.Annotations), a.present:
		return Steady
	case a.action == Skipped:
		return Drifted // it asked to be left alone, and does no more
	case adopted(seen, owner):
		return Unsure
	case a.seen.Print != seen.Print:
		return Drifted
	case seen.Rivals != "" && seen.Rivals != a.seen.Rivals && !a.merges && !wants(seen.Labels, seen.Annotations, keySSA, "Merge"):
		return Drifted
	}
	return Steady
}

// missing judges the absence of an object among those that carry labels.
func (a *applied) missing(owner Owner) Drift {
	switch {
	case a.expires:
		return Steady
	case !a.ours(owner):
		return Unsure // it exists without our labels, or did
	}
	return Drifted
}

// adopted reports whether an object carries the labels of another owner. It is on its
// way there, or two sources have it: to take it back at once would be a fight in the
// one case, and in the other its deletion when this owner gives it up.
func adopted(seen *watch.Observed, owner Owner) bool {
	by := watch.OwnerOf(seen.Labels)
	return by != owner && by.Name != "" && by.Namespace != ""
}

// changed is told by informers of every object that was changed or deleted.
func (e *Engine) changed(owner Owner, n watch.News) {
	e.mu.Lock()
	mem := e.memory[owner]
	e.mu.Unlock()
	if mem != nil && mem.hear(n, e.watches) {
		e.watches.Notify(owner)
	}
}

// hear reports whether news means that an object has drifted.
func (m *memory) hear(n watch.News, watches *watch.Set) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.applied[n.ID]
	switch {
	case m.busy:
		m.dirty[n.ID] = true
		return false
	case a == nil || n.Seen.OlderThan(a.version()) && !n.Doubtful:
		return false
	}
	seen, sight := n.Seen, n.Sight
	if n.Doubtful {
		seen, sight = watches.Look(a.gvk, n.ID, a.version())
	}
	if a.drift(m.owner, seen, sight) != Drifted {
		delete(m.drifted, n.ID)
		return false
	}
	m.drifted[n.ID] = true
	return true
}

// begin says that what informers tell from now on may be the owner's own doing.
func (m *memory) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = true
}

// end reports whether an object drifted meanwhile.
func (m *memory) end(watches *watch.Set) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = false
	drifted := false
	for id := range m.dirty {
		if a := m.applied[id]; a != nil {
			seen, sight := watches.Look(a.gvk, id, a.version())
			drifted = drifted || a.drift(m.owner, seen, sight) == Drifted
		}
	}
	clear(m.dirty)
	return drifted
}
