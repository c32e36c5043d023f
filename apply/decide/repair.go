// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"strconv"
	"strings"
)

// Repair is what was undone of what somebody did to an object, as events tell of it: [Repair.Line] is read by [ParseRepair].
type Repair struct {
	// Subject names the object: Kind/namespace/name.
	Subject string
	// Action is what undid it: Configured, or Created of an object that was deleted.
	Action Action
	// Manager is the field manager that changed it, or Kind/namespace/name of another owner that applied it; "" when nobody knows,
	// and of what was deleted.
	Manager string
	// Fields are the fields that were changed, as paths; More is how many are not among them.
	Fields []string
	More   int
}

// lineFields is how many fields a line names: many objects may be repaired at once, and an event is to be read.
const lineFields = 5

// Words of a line.
const (
	somebody   = "somebody"
	hadDeleted = somebody + " had deleted it"
	hadChanged = " had changed "
	hadApplied = " had applied it"
	anyField   = "it"
)

// RepairOf returns the repair that undoes a contention by an action, as events show it.
func RepairOf(c Contention, action Action) Repair {
	found := Repair{Subject: c.Subject(), Action: action, Manager: c.Manager}
	if c.Owner != (Owner{}) {
		found.Manager = c.Owner.Subject()
		return found
	}
	found.Fields = c.Fields[:min(len(c.Fields), lineFields)]
	found.More = len(c.Fields) - len(found.Fields)
	return found
}

// Line is the repair in a line, such as
//
//	Deployment/apps/podinfo configured: kubectl-edit had changed .spec.replicas, .spec.paused and 3 more
func (r Repair) Line() string {
	begin := r.Subject + " " + string(r.Action) + ": "
	manager := r.Manager
	if manager == "" {
		manager = somebody
	}
	switch {
	case r.Action == Created:
		return begin + hadDeleted
	case strings.Contains(r.Manager, "/") && len(r.Fields) == 0:
		return begin + manager + hadApplied
	case len(r.Fields) == 0:
		return begin + manager + hadChanged + anyField
	}
	line := begin + manager + hadChanged + strings.Join(r.Fields, ", ")
	if r.More > 0 {
		line += fmt.Sprintf(" and %d more", r.More)
	}
	return line
}

// ParseRepair reads a line. It is not ok if the line tells of no repair.
func ParseRepair(line string) (r Repair, ok bool) {
	begin, told, ok := strings.Cut(line, ": ")
	if !ok {
		return Repair{}, false
	}
	subject, action, ok := strings.Cut(begin, " ")
	if r = (Repair{Subject: subject, Action: Action(action)}); !ok || r.Action != Created && r.Action != Configured {
		return Repair{}, false
	}
	if r.Action == Created {
		return r, told == hadDeleted
	}
	if manager, ok := strings.CutSuffix(told, hadApplied); ok {
		r.Manager = manager
		return r, true
	}
	manager, fields, ok := strings.Cut(told, hadChanged)
	if !ok {
		return Repair{}, false
	}
	if manager != somebody {
		r.Manager = manager
	}
	if fields == anyField {
		return r, true
	}
	if at := strings.LastIndex(fields, " and "); at >= 0 {
		if n, err := strconv.Atoi(strings.TrimSuffix(fields[at+len(" and "):], " more")); err == nil {
			fields, r.More = fields[:at], n
		}
	}
	r.Fields = strings.Split(fields, ", ")
	return r, true
}
