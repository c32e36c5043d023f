package apply

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-cd/sluice/apply/inventory"
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

// How a fight is recognised, and how long each repair waits from then on: growing
// pauses, for whoever undoes us may be wrong for a long time.
const (
	fightRepairs  = 3
	fightWindow   = 5 * time.Minute
	firstPause    = 10 * time.Second
	longestPause  = 10 * time.Minute
	namedFields   = 5
	fightDoubling = 6
)

// fight is how often an object was repaired of late.
type fight struct {
	repairs int
	last    time.Time
	until   time.Time
	told    bool
}

// Fight is an object that somebody keeps changing.
type Fight struct {
	inventory.ID
	// Who is the field manager, or the Kustomization, that does it; "" when nobody
	// knows. Fields are those that differ, as paths; empty when the object is
	// deleted, or others' fields are added.
	Who     string
	Fields  []string
	Deleted bool
	// Pause is how long the next repair waits.
	Pause time.Duration
}

// String says what happens, and what would help.
func (f Fight) String() string {
	who := f.Who
	if who == "" {
		who = "somebody"
	}
	pause := fmt.Sprintf("it is repaired after growing pauses, the next time in %s", f.Pause)
	switch {
	case f.Deleted:
		return fmt.Sprintf("%s is deleted again and again: %s; remove it from the source, or find out who deletes it", f.Subject(), pause)
	case strings.HasPrefix(f.Who, "Kustomization/"):
		return fmt.Sprintf("%s is applied by %s as well; remove it from one of the two", f.Subject(), who)
	}
	fields := "fields"
	if len(f.Fields) > 0 {
		fields = strings.Join(f.Fields, ", ")
	}
	return fmt.Sprintf("%s is changed again and again by %s (%s): %s; leave the fields out of the source, or annotate the object with %s: Merge or %s: %s",
		f.Subject(), who, fields, pause, keySSA, keyReconcile, disabled)
}

// paused reports whether an object is left as somebody keeps making it.
func (m *memory) paused(id inventory.ID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fights[id]
	return f != nil && now.Before(f.until)
}

// Insist ends all pauses of owner: somebody asks for a repair now.
func (e *Engine) Insist(owner Owner) {
	mem := e.remember(owner)
	mem.mu.Lock()
	defer mem.mu.Unlock()
	for _, f := range mem.fights {
		f.until = time.Time{}
	}
}

// repair is what is about to be undone of what somebody did to an object; nil when it
// is applied for another reason.
func (p *pass) repair(ctx context.Context, o *object, was *applied, live *watch.Observed) *Fight {
	if was == nil || was.digest != o.digest || was.seen == nil || was.action == Skipped {
		return nil
	}
	found := &Fight{ID: o.id, Deleted: live == nil}
	if live == nil {
		return found
	}
	if adopted(live, p.req.Owner) {
		by := watch.OwnerOf(live.Labels)
		found.Who = "Kustomization/" + by.String()
		return found
	}
	found.Who = live.Writer
	if p.mem.repairs(o.id) == fightRepairs-1 { // this one will be told
		if u, err := p.client.get(ctx, o.at); err == nil {
			found.Fields = differences(o.Object, u.Object)
		}
	}
	return found
}

func (m *memory) repairs(id inventory.ID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fights[id]; f != nil {
		return f.repairs
	}
	return 0
}

// repaired counts a repair, and tells of a fight when there is one.
func (p *pass) repaired(found *Fight, next *applied) {
	if found == nil || next.action == Unchanged || next.action == Skipped {
		return
	}
	now := p.engine.Clock.Now()
	p.mem.mu.Lock()
	f := p.mem.fights[found.ID]
	if f == nil || now.Sub(f.last) > fightWindow+longestPause {
		f = &fight{}
		p.mem.fights[found.ID] = f
	}
	f.repairs, f.last = f.repairs+1, now
	contested := strings.HasPrefix(found.Who, "Kustomization/")
	if f.repairs >= fightRepairs {
		found.Pause = min(firstPause<<min(f.repairs-fightRepairs, fightDoubling), longestPause)
		f.until = now.Add(found.Pause)
	}
	tell := !f.told && (contested || f.repairs >= fightRepairs)
	f.told = f.told || tell
	p.mem.mu.Unlock()
	if tell {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fights = append(p.fights, *found)
	}
}

// differences names the fields of the source that the live object has otherwise, at
// most a few, and none of their values.
func differences(source, live map[string]any) []string {
	var paths []string
	var walk func(path string, want, have any)
	walk = func(path string, want, have any) {
		switch from := want.(type) {
		case map[string]any:
			if to, ok := have.(map[string]any); ok {
				for key := range from {
					walk(path+"."+key, from[key], to[key])
				}
				return
			}
		case []any:
			if to, ok := have.([]any); ok && len(to) == len(from) { // whose items have defaults, too
				for i := range from {
					walk(fmt.Sprintf("%s[%d]", path, i), from[i], to[i])
				}
				return
			}
		}
		if want != nil && !equality.Semantic.DeepEqual(want, have) {
			paths = append(paths, path)
		}
	}
	walk("", source, live)
	sort.Strings(paths)
	return paths[:min(len(paths), namedFields)]
}
