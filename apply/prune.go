// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// Prune deletes stale objects in the reverse order of application: those that
// still carry the owner's labels, and do not ask to be kept. It tries all, and
// returns those that it could not delete beside the error; they must stay in
// the inventory, or nobody would ever try again.
func (s *Set) Prune(ctx context.Context, as Impersonation, stale []inventory.Entry) (changes []Change, left []inventory.Entry, err error) {
	c, err := s.engine.clients.identity(as)
	if err != nil {
		return nil, stale, err
	}
	var errs []error
	for _, entry := range inReverseOrder(stale) {
		change, err := s.pruneEntry(ctx, c, entry)
		if err != nil {
			left = append(left, entry)
			errs = append(errs, fmt.Errorf("%s delete failed: %w", entry.Subject(), err))
			continue
		}
		changes = append(changes, change)
	}
	if len(changes) > 0 {
		return changes, left, errors.Join(errs...)
	}
	return nil, left, s.engine.refused(ctx, as, errs)
}

// inReverseOrder returns entries in the reverse order of application.
func inReverseOrder(entries []inventory.Entry) []inventory.Entry {
	objects := make([]*unstructured.Unstructured, 0, len(entries))
	for _, e := range entries {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kindOf(e))
		u.SetNamespace(e.Namespace)
		u.SetName(e.Name)
		objects = append(objects, u)
	}
	sort.Sort(ssa.SortableUnstructureds(objects))
	sorted := make([]inventory.Entry, 0, len(entries))
	for _, u := range slices.Backward(objects) {
		sorted = append(sorted, inventory.Entry{ID: inventory.IDOf(u), Version: u.GroupVersionKind().Version})
	}
	return sorted
}

func kindOf(e inventory.Entry) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}
}

// maxConflicts bounds how often an object is looked at anew because somebody wrote it
// between the look and the write.
const maxConflicts = 10

// pruneEntry deletes one object, unless it is not the owner's. What is deleted is the
// version that was judged: another owner may be taking the object over right now. An object
// that is on its way out counts as deleted. One that is not there does not: the owner may have
// been led to another cluster, and the object may still be in the one before.
func (s *Set) pruneEntry(ctx context.Context, c *client, entry inventory.Entry) (Change, error) {
	deleted := Change{Entry: entry, Action: decide.Deleted}
	absent := Change{Entry: entry, Action: decide.Skipped, Reason: s.engine.profile.Absent()}
	at, ok, err := c.locate(entry)
	switch {
	case err != nil:
		return Change{}, err
	case !ok:
		return absent, nil
	}
	for range maxConflicts {
		var live *unstructured.Unstructured
		live, err = c.get(ctx, at)
		switch {
		case apierrors.IsNotFound(err):
			return absent, nil
		case err != nil:
			return Change{}, err
		}
		if why, ok := s.engine.profile.Prunable(live.GetLabels(), live.GetAnnotations(), s.owner); !ok {
			return Change{Entry: entry, Action: decide.Skipped, Reason: why}, nil
		}
		if live.GetDeletionTimestamp() != nil {
			return deleted, nil // it goes; asking again would change nothing
		}
		err = c.delete(ctx, at, live.GetUID(), live.GetResourceVersion())
		if err == nil || apierrors.IsNotFound(err) {
			return deleted, nil
		}
		if !apierrors.IsConflict(err) {
			return Change{}, err
		}
	}
	return Change{}, fmt.Errorf("it is written faster than it can be looked at: %w", err)
}

// Remaining returns which of the deleted objects are still there. The owner is woken
// when the last of those that can be watched is gone.
func (s *Set) Remaining(ctx context.Context, as Impersonation, deleted []inventory.Entry) ([]string, error) {
	c, err := s.engine.clients.identity(as)
	if err != nil {
		return nil, err
	}
	var left []string
	var awaited []decide.Awaited
	for _, entry := range deleted {
		gone := decide.Awaited{
			GroupVersionKind: kindOf(entry), ID: entry.ID, Gone: true,
			// An informer that has not seen what was applied cannot say that it is gone.
			ResourceVersion: s.tracker.applied[entry.ID].Version(),
		}
		there, err := s.isThere(ctx, c, entry, gone.ResourceVersion)
		if err != nil {
			return left, fmt.Errorf("looking for %s: %w", entry.Subject(), err)
		}
		if there {
			left, awaited = append(left, entry.Subject()), append(awaited, gone)
		}
	}
	s.watch.Await(awaited)
	return left, nil
}

// isThere reports whether an object is still there; the API server is asked only about
// what cannot be watched.
func (s *Set) isThere(ctx context.Context, c *client, entry inventory.Entry, since string) (bool, error) {
	at, ok, err := c.locate(entry)
	if err != nil || !ok {
		return false, err
	}
	if _, freshness := s.engine.informers.Observe(kindOf(entry), entry.ID, since); freshness != decide.Unknown {
		return freshness != decide.Missing, nil
	}
	_, err = c.get(ctx, at)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return true, err
}
