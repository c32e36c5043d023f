// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// Health is the state of a set of objects.
type Health struct {
	// Failed and Pending say of each object that is not healthy what its state
	// is. A failed object will not recover by itself.
	Failed, Pending []string
	// Unserved are the objects that are pending because the cluster has no such kind.
	Unserved []string
	// Unwatched says that some of them cannot be watched; look again in a while.
	Unwatched bool
}

// Healthy reports whether every object is.
func (h Health) Healthy() bool { return len(h.Failed) == 0 && len(h.Pending) == 0 }

// Awaited is an object that an owner waits for, as of the given version.
type Awaited struct {
	schema.GroupVersionKind
	inventory.ID
	// ResourceVersion is the version that was found not to be healthy, or not gone; ""
	// when the object was not there. Older news of the object is no news.
	ResourceVersion string
	// Gone waits for the object to disappear instead.
	Gone bool
	// Failed says that the failure is known, and only recovery is news.
	Failed bool
}

// ResolvedBy reports whether what is seen now ends the waiting for the object.
func (a Awaited) ResolvedBy(seen *LiveObject, freshness Freshness) bool {
	if a.Gone {
		return freshness == Missing
	}
	return freshness == Fresh && !seen.OlderThan(a.ResourceVersion) && seen.Status == status.CurrentStatus
}

// FailedBy reports whether what is seen now ends the waiting for all objects.
func (a Awaited) FailedBy(seen *LiveObject, freshness Freshness) bool {
	return !a.Gone && !a.Failed && freshness == Fresh && !seen.OlderThan(a.ResourceVersion) && seen.Status == status.FailedStatus
}

// HealthObservation is an object whose health matters, and what was seen of it.
type HealthObservation struct {
	schema.GroupVersionKind
	inventory.ID
	// Seen is the newest that is known of the object; nil when it is not there.
	Seen *LiveObject
	// Watched says that an informer told, and will tell of changes.
	Watched bool
	// Expires says that the cluster may delete the object when it is done.
	Expires bool
}

// HealthOf says how healthy objects are, and which of them to wait for.
func HealthOf(objects []HealthObservation) (Health, []Awaited) {
	var (
		health  Health
		awaited []Awaited
	)
	for _, o := range objects {
		health.Unwatched = health.Unwatched || !o.Watched
		next := Awaited{GroupVersionKind: o.GroupVersionKind, ID: o.ID}
		switch {
		case o.Seen == nil && o.Expires && o.Watched, o.Seen != nil && o.Seen.Status == status.CurrentStatus:
			continue
		case o.Seen == nil:
			health.Pending = append(health.Pending, fmt.Sprintf("%s status: '%s'", o.Subject(), status.NotFoundStatus))
		case o.Seen.Status == status.FailedStatus:
			next.ResourceVersion, next.Failed = o.Seen.ResourceVersion, true
			health.Failed = append(health.Failed, o.Subject()+" "+o.Seen.String())
		default:
			next.ResourceVersion = o.Seen.ResourceVersion
			health.Pending = append(health.Pending, o.Subject()+" "+o.Seen.String())
			if o.Seen.Status == status.NotFoundStatus {
				health.Unserved = append(health.Unserved, o.Subject()+": "+o.Seen.Message)
			}
		}
		awaited = append(awaited, next)
	}
	return health, awaited
}
