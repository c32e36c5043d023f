// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"slices"
	"strings"
	"sync"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// owners knows the owners that apply the objects of a cluster. An object has one owner.
// Where two sources contain it, each applies it in turn, and the labels name only the last.
type owners struct {
	mu     sync.Mutex
	byID   map[inventory.ID][]*tracker
	shared map[inventory.ID]bool // those with several owners
}

// SharedObject is an object that several owners apply.
type SharedObject struct {
	inventory.ID
	// Others are the owners besides the one that asked.
	Others []decide.Owner
}

// String says what is wrong with it, and what helps.
func (s SharedObject) String() string {
	others := make([]string, 0, len(s.Others))
	for _, owner := range s.Others {
		others = append(others, owner.Subject())
	}
	return s.Subject() + " is applied by " + strings.Join(others, " and ") + " as well; remove it from all but one of them"
}

// add notes that an owner applies an object, and wakes the others if it did not before.
func (o *owners) add(id inventory.ID, t *tracker) {
	o.mu.Lock()
	others := o.byID[id]
	known := slices.Contains(others, t)
	if !known {
		o.setOwners(id, append(slices.Clone(others), t))
	}
	o.mu.Unlock()
	if !known {
		wakeAll(others)
	}
}

// remove notes that an owner does not apply an object any more, and wakes the others if it did.
func (o *owners) remove(id inventory.ID, t *tracker) {
	o.mu.Lock()
	at := slices.Index(o.byID[id], t)
	var others []*tracker
	if at >= 0 {
		others = slices.Delete(slices.Clone(o.byID[id]), at, at+1)
		o.setOwners(id, others)
	}
	o.mu.Unlock()
	wakeAll(others)
}

func wakeAll(owners []*tracker) {
	for _, owner := range owners {
		owner.wake()
	}
}

// setOwners sets who applies an object. The lock is held.
func (o *owners) setOwners(id inventory.ID, owners []*tracker) {
	if o.byID == nil {
		o.byID, o.shared = map[inventory.ID][]*tracker{}, map[inventory.ID]bool{}
	}
	if o.byID[id] = owners; len(owners) == 0 {
		delete(o.byID, id)
	}
	if o.shared[id] = len(owners) > 1; !o.shared[id] {
		delete(o.shared, id)
	}
}

// sharedOf are the objects of an owner that others apply as well, in the order of their
// names.
func (o *owners) sharedOf(t *tracker) (found []SharedObject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.shared {
		owners := o.byID[id]
		if !slices.Contains(owners, t) {
			continue
		}
		shared := SharedObject{ID: id}
		for _, other := range owners {
			if other != t {
				shared.Others = append(shared.Others, other.owner)
			}
		}
		found = append(found, shared)
	}
	slices.SortFunc(found, func(a, b SharedObject) int { return strings.Compare(a.String(), b.String()) })
	return found
}
