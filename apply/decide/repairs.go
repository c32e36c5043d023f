// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// How a fight is recognised, and how long each repair waits from then on: the pauses
// grow, for whoever changes the object may do so for a long time.
const (
	// FightRepairs is how many repairs within the window make a fight.
	FightRepairs = 3
	fightWindow  = 5 * time.Minute
	// FirstPause is how long the first repair of a fight waits; each next one waits
	// twice as long.
	FirstPause    = 10 * time.Second
	longestPause  = 10 * time.Minute
	fightDoubling = 6
)

// Repairs is how often an object was repaired of late. It is a value: [Repairs.Next]
// returns another one.
type Repairs struct {
	Count int
	// Last is the last repair; Until is when the pause after it is over.
	Last, Until time.Time
	// Reported says that somebody was told about the fight.
	Reported bool
}

// Paused reports whether the object is left as somebody keeps making it.
func (r Repairs) Paused(now time.Time) bool { return now.Before(r.Until) }

// Next counts a repair. Repairs that lie far enough apart are not counted together.
func (r Repairs) Next(now time.Time) Repairs {
	if now.Sub(r.Last) > fightWindow+longestPause {
		r = Repairs{}
	}
	r.Count, r.Last = r.Count+1, now
	if r.Count >= FightRepairs {
		r.Until = now.Add(min(FirstPause<<min(r.Count-FightRepairs, fightDoubling), longestPause))
	}
	return r
}

// Fight is an object that somebody keeps changing.
type Fight struct {
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
// else when it is a fight, and of each only once.
func (f Fight) Reported(repairs Repairs) bool {
	return !repairs.Reported && (f.Owner != (Owner{}) || repairs.Count >= FightRepairs)
}

// Describe says what happens, and what would help.
func (p *Profile) Describe(f Fight) string {
	manager := f.Manager
	if manager == "" {
		manager = "somebody"
	}
	pause := fmt.Sprintf("it is repaired after growing pauses, the next time in %s", f.Pause)
	switch {
	case f.Deleted:
		return fmt.Sprintf("%s is deleted again and again: %s; remove it from the source, or find out who deletes it", f.Subject(), pause)
	case f.Owner != Owner{}:
		return fmt.Sprintf("%s is applied by %s as well; remove it from one of the two", f.Subject(), f.Owner.Subject())
	}
	fields := "fields"
	if len(f.Fields) > 0 {
		fields = strings.Join(f.Fields, ", ")
	}
	return fmt.Sprintf("%s is changed again and again by %s (%s): %s; leave the fields out of the source, or annotate the object with %s: %s or %s: %s",
		f.Subject(), manager, fields, pause, p.SSAKey, Merge, p.ReconcileKey, Disabled)
}
