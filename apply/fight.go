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
