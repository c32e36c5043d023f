// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"sort"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// repairing is what is about to be undone of what somebody did to an object; nil when
// it is applied for another reason.
func (a *applier) repairing(ctx context.Context, o *object, left *decide.Applied, live *decide.LiveObject) *decide.Contention {
	if left == nil || left.Digest != o.digest || left.Left == nil || left.Action == decide.Skipped {
		return nil
	}
	found := &decide.Contention{ID: o.id, Deleted: live == nil}
	if live == nil {
		return found
	}
	if profile := a.set.engine.profile; profile.HasOther(live.Labels, a.set.owner) {
		found.Owner = profile.OwnerOf(live.Labels)
		return found
	}
	found.Manager = live.Writer
	// Each repair may be of another field, and what is reported names all.
	if u, err := a.client.get(ctx, o.endpoint); err == nil {
		wanted := o.DeepCopy()
		watch.Adopt(a.set.rules.Ignored(o.GroupVersionKind(), o), wanted, u, a.set.engine.profile.FieldManager)
		found.Fields = differences(wanted.Object, u.Object)
	}
	return found
}

// countRepair counts what was done as a repair, and reports contention when there is any.
func (a *applier) countRepair(found *decide.Contention, next *decide.Applied) {
	if found == nil || next.Action == decide.Unchanged || next.Action == decide.Skipped {
		return
	}
	a.noteRepair(*found)
	now := a.set.engine.clock.Now()
	repairs := a.set.tracker.repairsOf(found.ID).Next(now).With(found.Fields)
	found.Pause, found.Fields = repairs.Pause(now), repairs.Fields
	if found.Reported(repairs) {
		repairs.Reported = true
		a.report(*found)
	}
	a.set.tracker.setRepairs(found.ID, repairs)
}

// noteRepair keeps what was repaired, for who is told of the apply.
func (a *applier) noteRepair(found decide.Contention) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.repaired == nil {
		a.repaired = map[inventory.ID]*decide.Contention{}
	}
	a.repaired[found.ID] = &found
}

// differences names the fields of the source that the live object has otherwise, and none
// of their values.
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
	return paths
}
