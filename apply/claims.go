// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"slices"
	"strings"
	"sync"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// claims knows the owners that apply the objects of a cluster. An object has one owner.
// Where two sources contain it, each applies it in turn, and the labels name only the last.
type claims struct {
	mu     sync.Mutex
	owners map[inventory.ID][]*tracker
	shared map[inventory.ID]bool // those with several owners
}

// Shared is an object that several owners apply.
type Shared struct {
	inventory.ID
	// Others are the owners besides the one that asked.
	Others []decide.Owner
}

// String says what is wrong with it, and what helps.
func (s Shared) String() string {
	others := make([]string, 0, len(s.Others))
	for _, owner := range s.Others {
		others = append(others, owner.Subject())
	}
	return s.Subject() + " is applied by " + strings.Join(others, " and ") + " as well; remove it from all but one of them"
}

// add notes that an owner applies an object, and wakes the others if it did not before.
func (c *claims) add(id inventory.ID, t *tracker) {
	c.mu.Lock()
	others := c.owners[id]
	known := slices.Contains(others, t)
	if !known {
		c.setOwners(id, append(slices.Clone(others), t))
	}
	c.mu.Unlock()
	if !known {
		wakeAll(others)
	}
}

// remove notes that an owner does not apply an object any more, and wakes the others if it did.
func (c *claims) remove(id inventory.ID, t *tracker) {
	c.mu.Lock()
	at := slices.Index(c.owners[id], t)
	var others []*tracker
	if at >= 0 {
		others = slices.Delete(slices.Clone(c.owners[id]), at, at+1)
		c.setOwners(id, others)
	}
	c.mu.Unlock()
	wakeAll(others)
}

func wakeAll(owners []*tracker) {
	for _, owner := range owners {
		owner.wake()
	}
}

// setOwners sets who applies an object. The lock is held.
func (c *claims) setOwners(id inventory.ID, owners []*tracker) {
	if c.owners == nil {
		c.owners, c.shared = map[inventory.ID][]*tracker{}, map[inventory.ID]bool{}
	}
	if c.owners[id] = owners; len(owners) == 0 {
		delete(c.owners, id)
	}
	if c.shared[id] = len(owners) > 1; !c.shared[id] {
		delete(c.shared, id)
	}
}

// sharedOf are the objects of an owner that others apply as well, in the order of their
// names.
func (c *claims) sharedOf(t *tracker) (found []Shared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.shared {
		owners := c.owners[id]
		if !slices.Contains(owners, t) {
			continue
		}
		shared := Shared{ID: id}
		for _, other := range owners {
			if other != t {
				shared.Others = append(shared.Others, other.owner)
			}
		}
		found = append(found, shared)
	}
	slices.SortFunc(found, func(a, b Shared) int { return strings.Compare(a.String(), b.String()) })
	return found
}
