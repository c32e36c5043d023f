// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// subject is an object whose health matters.
type subject struct {
	gvk schema.GroupVersionKind
	id  inventory.ID
}

// Health reports on everything that was applied and not skipped. The owner is woken
// when the last object becomes healthy, or another one fails.
func (s *Set) Health(ctx context.Context) decide.Health {
	var all []subject
	for id, a := range s.tracker.applied {
		if a.Action != decide.Skipped && id != s.owner { // an owner that waits for itself would wait for ever
			all = append(all, subject{gvk: a.GroupVersionKind, id: id})
		}
	}
	return s.checkHealth(ctx, all)
}

// HealthOf reports on the given objects as Health does. One that nobody can look at as
// it is named, or that the owner's identity may not read, has failed.
func (s *Set) HealthOf(ctx context.Context, refs []Reference) decide.Health {
	found, failed := s.locateReferences(ctx, refs)
	all := make([]subject, 0, len(found))
	for _, ref := range found {
		all = append(all, subject{gvk: ref.GroupVersionKind, id: ref.id()})
	}
	h := s.checkHealth(ctx, all)
	h.Failed = append(failed, h.Failed...)
	return h
}

// StopWaiting ends the owner's wait for news of health.
func (s *Set) StopWaiting() { s.watch.Await(nil) }

// maxHealthReads bounds how often health is read anew because news came meanwhile.
const maxHealthReads = 3

// checkHealth reads the health of all, and has the owner woken by news about those
// that are not healthy.
func (s *Set) checkHealth(ctx context.Context, all []subject) decide.Health {
	var health decide.Health
	for range maxHealthReads {
		checked, unwatched := make([]decide.HealthObservation, 0, len(all)), []int(nil)
		for i, o := range all {
			checked = append(checked, s.look(o))
			if !checked[i].Watched {
				unwatched = append(unwatched, i)
			}
		}
		s.reads.readAll(ctx, s, checked, unwatched)
		var awaited []decide.Awaited
		health, awaited = decide.HealthOf(checked)
		if s.watch.Await(awaited) || len(awaited) == 0 {
			return health
		}
	}
	health.Unwatched = true // too much changes to be told of it; look again
	return health
}

// look returns the newest that informers know of an object. What cannot be watched is to be read.
func (s *Set) look(o subject) decide.HealthObservation {
	left := s.tracker.applied[o.id]
	var seen *decide.LiveObject
	var freshness decide.Freshness
	if left == nil {
		seen, freshness = s.watch.ObserveReference(o.gvk, o.id)
	} else {
		seen, freshness = s.watch.Observe(o.gvk, o.id, left.Left)
	}
	if freshness == decide.Fresh && s.rules.DigestFor(o.gvk, seen) != seen.Rules || s.rules.ReadsWhole(o.gvk.GroupKind()) {
		freshness = decide.Unknown
	}
	checked := decide.HealthObservation{GroupVersionKind: o.gvk, ID: o.id, Seen: seen, Watched: true, Expires: left != nil && left.Expires}
	switch {
	case freshness == decide.Unknown:
		checked.Watched = false
	case freshness == decide.Stale && left != nil:
		checked.Seen = left.Left
	}
	return checked
}

// leftOf is an object as it was left; nil if it was not applied.
func leftOf(a *decide.Applied) *decide.LiveObject {
	if a == nil {
		return nil
	}
	return a.Left
}

// fetch reads an object from the API server; nil when it is not there.
func (s *Set) fetch(ctx context.Context, o subject) (*decide.LiveObject, error) {
	c, err := s.engine.clients.identity(s.identity)
	if err != nil {
		return nil, err
	}
	mapping, err := c.mapper.RESTMapping(o.gvk.GroupKind(), o.gvk.Version)
	if meta.IsNoMatchError(err) {
		return &decide.LiveObject{Status: status.NotFoundStatus, Message: fmt.Sprintf(
			"the cluster has no kind %s in %s: install its definition, or name another apiVersion or kind",
			o.gvk.Kind, o.gvk.GroupVersion())}, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := c.get(ctx, endpoint{mapping: mapping, key: types.NamespacedName{Namespace: o.id.Namespace, Name: o.id.Name}})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.observe(u), nil
}
