// SPDX-License-Identifier: Apache-2.0

// Package apply puts a set of objects into the cluster on behalf of an owner,
// keeps them as they were applied, deletes what left the set, and says whether
// they are healthy.
//
//	objects --> stages: definitions | classes | configuration | the rest | webhooks
//	each    --> unchanged and without drift? no call : one server-side apply
//	left    --> delete, if it still carries the owner's labels
//	health  --> from informers; the owner is woken, nobody waits in a worker
//
// An [Engine] serves all owners of one kind, of which it knows no more than their
// [decide.Profile]: labels, annotations and field manager. What is remembered of one
// owner's objects is its [Set]: the digest of what was sent, and the object that the
// API server made of it. An object whose digest is the same, and which the informer
// still sees as it was left, costs nothing. The set is a cache: after a restart every
// object is applied once more, which the API server answers without writing anything.
//
// With the profile of kustomize-controller, labels, annotations, field manager and
// order are its own, so that objects can change hands in either direction.
//
// The ResourceManager of github.com/fluxcd/pkg/ssa, by which kustomize-controller applies, asks the API
// server about each object in each run, and polls for health in the worker. Both are measured
// beside each other, and written down in docs/benchmarks.md, by
//
//	hack/with-playground.sh go run ./test/bench -only fleet
package apply

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Engine applies to one cluster for the owners of one kind. It remembers none of them:
// see [Set].
type Engine struct {
	profile   *decide.Profile
	clients   *Clients
	informers *watch.Informers
	observer  watch.Observer
	owners    owners
	clock     clock.PassiveClock
}

// NewEngine returns an engine for the owners of a profile, over a pool of clients and
// the informers of the same cluster. The clock times the pauses between repairs.
func NewEngine(profile *decide.Profile, clients *Clients, informers *watch.Informers, clk clock.PassiveClock) *Engine {
	return &Engine{profile: profile, clients: clients, informers: informers, observer: watch.NewObserver(profile), clock: clk}
}

// Set returns what is remembered of an owner's objects, which is nothing yet. wake is
// called, from any goroutine, when the owner should look at them: one drifted, the last
// one that it waits for is healthy, or one has failed. A set is used by one goroutine
// at a time.
func (e *Engine) Set(owner decide.Owner, wake func()) *Set {
	s := &Set{engine: e, owner: owner, grants: map[Reference]grant{}}
	s.tracker = newTracker(e, owner, wake)
	s.watch = s.tracker.watch
	return s
}

// Request is a set of objects to apply. The objects belong to the engine after.
type Request struct {
	Impersonation Impersonation
	Objects       []*unstructured.Unstructured
	// Labels and Annotations are put on every object.
	Labels, Annotations map[string]string
	// Recreate says what to do with an object whose change the API server
	// refuses because a field is immutable.
	Recreate Recreate
	// References are objects outside of the set whose health will be asked for.
	References []Reference
	// Rules are how the objects are read; nil for none.
	Rules *watch.Rules
	// Record, if there is one, is told which objects will be applied before the first of them is, and again of
	// those whose definitions are among them. A process that is killed then still knows of what it
	// created, although no later request may have it. An error ends the apply.
	Record func(ctx context.Context, all []inventory.Entry) error
}

// Recreate is when an object may be deleted in order to change it.
type Recreate int

const (
	// RecreateAnnotated allows only an object that is annotated to allow it.
	RecreateAnnotated Recreate = iota
	// RecreateAll allows any object.
	RecreateAll
)

// Reference names an object that need not be applied by anyone here.
type Reference struct {
	schema.GroupVersionKind
	Namespace, Name string
}

func (r Reference) id() inventory.ID {
	return inventory.ID{Namespace: r.Namespace, Name: r.Name, Group: r.Group, Kind: r.Kind}
}

// Change is what happened to one object.
type Change struct {
	inventory.Entry
	Action decide.Action
	// Reason says why a stale object was not deleted; see [NotPruned].
	Reason string
	// Repaired is what was undone of what somebody did to the object; nil if it was applied for another reason.
	Repaired *decide.Contention
}

// String is the change as events show it.
func (c Change) String() string {
	if c.Repaired != nil {
		return decide.RepairOf(*c.Repaired, c.Action).Line()
	}
	return c.Subject() + " " + string(c.Action)
}

// Result is how far an apply came.
type Result struct {
	// Changes has one entry for every object that was dealt with, in the order
	// of application.
	Changes []Change
	// Waiting is not empty when the objects of an early stage are not established
	// yet. The owner will be woken, and should apply again.
	Waiting decide.Health
	// Contentions are objects that somebody keeps changing; each is reported once.
	Contentions []decide.Contention

	warnings remarks // see Warnings
}

// Entries is the inventory of what was dealt with. After an error, what was recorded before may be in the cluster, too.
func (o *Result) Entries() []inventory.Entry {
	entries := make([]inventory.Entry, 0, len(o.Changes))
	for _, c := range o.Changes {
		entries = append(entries, c.Entry)
	}
	return entries
}

// NotPruned lists the stale objects that were not deleted, one line each with the
// reason; "" when all were.
func NotPruned(changes []Change) string {
	var lines []string
	for _, c := range changes {
		if c.Reason != "" {
			lines = append(lines, c.Subject()+" not pruned: "+c.Reason)
		}
	}
	return strings.Join(lines, "\n")
}

// DeletedOf returns the entries of the objects that were deleted.
func DeletedOf(changes []Change) []inventory.Entry {
	var entries []inventory.Entry
	for _, c := range changes {
		if c.Action == decide.Deleted {
			entries = append(entries, c.Entry)
		}
	}
	return entries
}

// ChangeLines lists what changed, one line each, as upstream's events do, and of repairs what they undid;
// "" when nothing did.
func ChangeLines(changes []Change) string {
	var lines []string
	for _, c := range changes {
		switch c.Action {
		case decide.Created, decide.Configured, decide.Deleted:
			lines = append(lines, c.String())
		case decide.Unchanged, decide.Skipped:
		}
	}
	return strings.Join(lines, "\n")
}
