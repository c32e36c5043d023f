// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"time"

	"github.com/sluice-cd/sluice/apply/decide"
)

// Repair is what a Kustomization undid of what somebody did to an object that it applies.
type Repair struct {
	ObjectReference
	// At is when it was undone last.
	At time.Time `json:"at"`
	// Count is how often it was undone.
	Count int `json:"count"`
	// By is the field manager that had changed the object, such as kubectl-edit, or another Kustomization that had applied it, as
	// Kustomization/namespace/name; left out if it is not known.
	By string `json:"by,omitempty"`
	// Deleted means that the object was gone.
	Deleted bool `json:"deleted,omitempty"`
	// Fields are the fields that were changed, as paths such as .spec.replicas; left out if others had added something alone.
	Fields []string `json:"fields,omitempty"`
	// More is how many fields are not among them.
	More int `json:"more,omitempty"`
}

// maxRepairs are told, the newest ones.
const maxRepairs = 200

// Repairs reads the events of a Kustomization, the oldest first, and tells what it repaired, the newest first.
func Repairs(events []Event) []Repair {
	found := []Repair{}
	for i := len(events) - 1; i >= 0; i-- {
		for line := range strings.Lines(events[i].Message) {
			r, ok := decide.ParseRepair(strings.TrimSuffix(line, "\n"))
			if !ok {
				continue
			}
			if len(found) == maxRepairs {
				return found
			}
			found = append(found, Repair{
				ObjectReference: referenceOf(r.Subject), At: events[i].Time, Count: events[i].Count,
				By: r.Manager, Deleted: r.Action == decide.Created, Fields: r.Fields, More: r.More,
			})
		}
	}
	return found
}

// referenceOf reads Kind/namespace/name, or Kind/name of an object of the cluster.
func referenceOf(subject string) ObjectReference {
	parts := strings.SplitN(subject, "/", 3)
	if len(parts) == 3 {
		return ObjectReference{Kind: parts[0], Namespace: parts[1], Name: parts[2]}
	}
	return ObjectReference{Kind: parts[0], Name: parts[len(parts)-1]}
}
