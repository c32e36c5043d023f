// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/contention"
)

// RepairPolicy says when repairs of an object are contended, and how long each waits from
// then on: the pauses grow, since the other writer may go on for a long time.
var RepairPolicy = contention.Policy{Burst: 3, Window: 15 * time.Minute, InitialBackoff: 10 * time.Second, MaxBackoff: 10 * time.Minute}

// Repairs is how often an object was repaired of late. It is a value: [Repairs.Next]
// returns another one.
type Repairs struct {
	contention.History
	// Reported says that there was an event about it.
	Reported bool
	// Fields are the fields that the counted repairs were of, as paths: at most 1,000.
	Fields []string
}

// Next counts a repair. Repairs that lie far enough apart are not counted together.
func (r Repairs) Next(now time.Time) Repairs {
	next := RepairPolicy.Repaired(r.History, now)
	if next.Repairs <= 1 {
		return Repairs{History: next}
	}
	return Repairs{History: next, Reported: r.Reported, Fields: r.Fields}
}

// maxRepairedFields bounds how many fields are remembered, and namedFields how many of them
// are named in messages.
const (
	maxRepairedFields = 1000
	namedFields       = 20
)

// With notes what fields the last repair was of.
func (r Repairs) With(fields []string) Repairs {
	all := slices.Concat(r.Fields, fields)
	slices.Sort(all)
	all = slices.Compact(all)
	r.Fields = all[:min(len(all), maxRepairedFields)]
	return r
}

// Contention is an object that somebody keeps changing.
type Contention struct {
	inventory.ID
	// Owner is another owner that applies the object as well; zero if there is none.
	Owner Owner
	// Manager is the field manager that changes it; "" when nobody knows. Fields are
	// those that differ, as paths; empty when the object is deleted, or others' fields
	// are added.
	Manager string
	Fields  []string
	Deleted bool
	// Pause is how long the next repair waits.
	Pause time.Duration
}

// Reported reports whether people should be told: of two owners at once, of anybody
// else when it is contended, and of each only once.
func (c Contention) Reported(repairs Repairs) bool {
	return !repairs.Reported && (c.Owner != (Owner{}) || RepairPolicy.Contended(repairs.History))
}

// Describe says what happens, and what would help.
func (p *Profile) Describe(c Contention) string {
	manager := c.Manager
	if manager == "" {
		manager = "somebody"
	}
	pause := fmt.Sprintf("it is repaired after growing pauses, the next time in %s", c.Pause)
	switch {
	case c.Deleted:
		return fmt.Sprintf("%s is deleted again and again: %s; remove it from the source, or find out who deletes it", c.Subject(), pause)
	case c.Owner != Owner{}:
		return fmt.Sprintf("%s is applied by %s as well; remove it from one of the two", c.Subject(), c.Owner.Subject())
	}
	fields := "fields"
	if len(c.Fields) > 0 {
		fields = strings.Join(c.Fields[:min(len(c.Fields), namedFields)], ", ")
	}
	if more := len(c.Fields) - namedFields; more > 0 {
		fields += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s is changed again and again by %s (%s): %s; leave the fields out of the source, "+
		"or annotate the object with %s: %s or %s: %s",
		c.Subject(), manager, fields, pause, p.SSAKey, Merge, p.ReconcileKey, Disabled)
}
