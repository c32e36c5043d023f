// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"crypto/sha256"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/internal/resourceversion"
)

// LiveObject is what is kept of a live object: enough to say whether it is healthy and
// whether anyone changed the fields that were applied, and no more.
type LiveObject struct {
	// ObjectMeta has name, namespace, uid, resourceVersion, deletionTimestamp,
	// labels and annotations.
	metav1.ObjectMeta
	// Status is the health of the object as kstatus sees it, with its message.
	Status  status.Status
	Message string
	// FieldHash identifies the fields that our field manager owns, and when it wrote
	// them last. Whoever overwrites or removes one of them takes it over, and the hash
	// changes; status updates and other managers' fields leave it as it is.
	FieldHash string
	// FormerHash identifies the fields of former managers, such as kubectl, which this
	// owner takes over; "" when there are none.
	FormerHash string
	// Writer is the manager, other than ours, that wrote fields last.
	Writer string
	// Rules identifies the rules of an owner by which Status and the hashes were read; ""
	// if none concern the object. What was read by others cannot be compared.
	Rules string
}

// OlderThan reports whether o was read before the given resource version was written.
func (o *LiveObject) OlderThan(version string) bool {
	return resourceversion.Older(o.ResourceVersion, version)
}

// String is the object's health as messages show it.
func (o *LiveObject) String() string {
	if o.Message == "" {
		return fmt.Sprintf("status: '%s'", o.Status)
	}
	return fmt.Sprintf("status: '%s': %s", o.Status, o.Message)
}

// Freshness is how much an informer knows of an object as of a resource version.
type Freshness int

const (
	// Unknown means that no informer watches the object, or it has not listed yet.
	Unknown Freshness = iota
	// Stale means that the informer has not caught up with the version asked for.
	Stale
	// Missing means that the object is not there.
	Missing
	// Fresh means that the object is there.
	Fresh
)

// Action is what was done with an object, in upstream's words.
type Action string

// What can be done with an object.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Skipped    Action = "skipped"
	Deleted    Action = "deleted"
)

// Applied is how an object was left by its last apply.
type Applied struct {
	schema.GroupVersionKind
	Treatment
	// Digest is the digest of the object in the source.
	Digest [sha256.Size]byte
	// Warnings are what the API server warned of when it was applied.
	Warnings []string
	Action   Action
	// Left is the live object as it was left; nil when it was skipped unseen.
	Left *LiveObject
}

// Version is the resource version that the object was left at; "" if a is nil.
func (a *Applied) Version() string {
	if a == nil || a.Left == nil {
		return ""
	}
	return a.Left.ResourceVersion
}

// Labelled reports whether the object carried the owner's labels when it was left, so
// that informers, which select by them, would have told if it were gone.
func (a *Applied) Labelled(p *Profile, owner Owner) bool {
	return a.Left != nil && p.OwnerOf(a.Left.Labels) == owner
}

// Drift is what happened to applied objects since their owner applied them.
type Drift int

const (
	// NoDrift means that everything is as it was left.
	NoDrift Drift = iota
	// UnknownDrift means that some objects cannot be watched, are another owner's now, or
	// were read by other rules.
	UnknownDrift
	// Drifted means that somebody changed or deleted an object, or nothing is remembered of it.
	Drifted
)

// DriftOf compares what is seen of an object with how its owner left it.
func (p *Profile) DriftOf(owner Owner, left *Applied, seen *LiveObject, freshness Freshness) Drift {
	switch {
	case freshness == Stale, left.Excluded:
		return NoDrift
	case freshness == Unknown:
		return UnknownDrift
	case freshness == Missing && left.Expires:
		return NoDrift
	case freshness == Missing && !left.Labelled(p, owner):
		return UnknownDrift // it exists without the labels that the informer selects by, or did
	case freshness == Missing:
		return Drifted
	case p.Excluded(seen.Labels, seen.Annotations), left.IfNotPresent:
		return NoDrift
	case left.Action == Skipped:
		return Drifted // it asked to be left alone, and does no more
	case p.HasOther(seen.Labels, owner), left.Left.Rules != seen.Rules:
		return UnknownDrift
	case left.Left.FieldHash != seen.FieldHash, p.newFormerManager(left, seen):
		return Drifted
	}
	return NoDrift
}

// newFormerManager reports whether a former manager, such as kubectl, wrote fields since
// the last apply, which are to be taken over.
func (p *Profile) newFormerManager(left *Applied, seen *LiveObject) bool {
	return seen.FormerHash != "" && seen.FormerHash != left.Left.FormerHash &&
		!left.Merge && !p.Merges(seen.Labels, seen.Annotations)
}

// ObjectDecision is what is to be done with one object of the source.
type ObjectDecision int

const (
	// Skip leaves the object alone.
	Skip ObjectDecision = iota
	// Keep leaves the object as it was applied before.
	Keep
	// Update applies the object and takes all its fields over.
	Update
	// Create applies an object that is probably new, and takes nothing from anyone.
	Create
)

// Candidate is one object of the source and what is known of the live one.
type Candidate struct {
	Treatment
	// Live is the object in the cluster, nil if it is not there. Known says whether
	// that is certain.
	Live  *LiveObject
	Known bool
	// AsLeft says that the object is in the source as it was, and in the cluster as it
	// was left, or that it is not repaired for a while.
	AsLeft bool
}

// DecideObject decides what to do with an object.
func (p *Profile) DecideObject(c Candidate) ObjectDecision {
	switch {
	case c.Excluded, c.Live != nil && (c.IfNotPresent || p.Excluded(c.Live.Labels, c.Live.Annotations)):
		return Skip
	case c.AsLeft:
		return Keep
	case c.Known:
		return Update
	}
	return Create
}
