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

// set notes whether an owner applies an object, and wakes the other owners if that
// changes how many there are.
func (c *claims) set(id inventory.ID, t *tracker, applies bool) {
	for _, other := range c.change(id, t, applies) {
		other.wake()
	}
}

func (c *claims) change(id inventory.ID, t *tracker, applies bool) (others []*tracker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	owners := c.owners[id]
	at := slices.Index(owners, t)
	switch {
	case applies == (at >= 0):
		return nil
	case applies:
		others = slices.Clone(owners)
		owners = append(owners, t)
	default:
		owners = slices.Delete(slices.Clone(owners), at, at+1)
		others = owners
	}
	if c.owners == nil {
		c.owners, c.shared = map[inventory.ID][]*tracker{}, map[inventory.ID]bool{}
	}
	if c.owners[id] = owners; len(owners) == 0 {
		delete(c.owners, id)
	}
	if c.shared[id] = len(owners) > 1; !c.shared[id] {
		delete(c.shared, id)
	}
	return others
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
