package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Prune deletes stale objects in the reverse order of application: those that
// still carry the owner's labels, and do not ask to be kept. It tries all, and
// returns those that it could not delete beside the error; they must stay in
// the inventory, or nobody would ever try again.
func (e *Engine) Prune(ctx context.Context, owner Owner, as Identity, stale []inventory.Entry) (changes []Change, left []inventory.Entry, err error) {
	c, err := e.clients.identity(as)
	if err != nil {
		return nil, stale, err
	}
	for _, entry := range backwards(stale) {
		action, deleteErr := c.prune(ctx, owner, entry)
		if deleteErr != nil {
			left = append(left, entry)
			err = errors.Join(err, fmt.Errorf("%s delete failed: %w", entry.Subject(), deleteErr))
			continue
		}
		changes = append(changes, Change{Entry: entry, Action: action})
	}
	return changes, left, err
}

// backwards returns entries in the reverse order of application.
func backwards(entries []inventory.Entry) []inventory.Entry {
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
		sorted = append(sorted, inventory.Entry{ID: idOf(u), Version: u.GroupVersionKind().Version})
	}
	return sorted
}

func kindOf(e inventory.Entry) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}
}

// judgements bounds how often an object is looked at anew because somebody wrote it
// between the look and the deletion.
const judgements = 10

// prune deletes one object, unless it is not the owner's. What is deleted is the
// version that was judged: another owner may be taking the object over right now.
func (c *client) prune(ctx context.Context, owner Owner, entry inventory.Entry) (Action, error) {
	at, ok, err := c.locate(entry)
	if err != nil || !ok {
		return Deleted, err
	}
	for range judgements {
		var live *unstructured.Unstructured
		live, err = c.get(ctx, at)
		switch {
		case apierrors.IsNotFound(err):
			return Deleted, nil
		case err != nil:
			return "", err
		case !prunable(live, owner):
			return Skipped, nil
		case live.GetDeletionTimestamp() != nil:
			return Deleted, nil // it goes; asking again would change nothing
		}
		err = c.delete(ctx, at, live.GetUID(), live.GetResourceVersion())
		if err == nil || apierrors.IsNotFound(err) {
			return Deleted, nil
		}
		if !apierrors.IsConflict(err) {
			return "", err
		}
	}
	return "", fmt.Errorf("it is written faster than it can be looked at: %w", err)
}

// prunable reports whether an object carries the owner's labels, and does not ask to
// be kept.
func prunable(live *unstructured.Unstructured, owner Owner) bool {
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	return labels[labelName] == owner.Name && labels[labelNamespace] == owner.Namespace &&
		!excluded(labels, annotations) && !wants(labels, annotations, keyPrune, disabled)
}

// locate finds out where an entry lives; not ok when its kind is gone, and the
// object with it.
func (c *client) locate(entry inventory.Entry) (at endpoint, ok bool, err error) {
	gvk := kindOf(entry)
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) { // that version may be gone, not the kind
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind())
	}
	if meta.IsNoMatchError(err) {
		return endpoint{}, false, nil
	}
	if err != nil {
		return endpoint{}, false, err
	}
	return endpoint{mapping: mapping, key: types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}}, true, nil
}

// Remaining returns which of the deleted objects are still there. The owner is notified
// when the last of those that can be watched is gone.
func (e *Engine) Remaining(ctx context.Context, owner Owner, as Identity, deleted []Change) ([]string, error) {
	c, err := e.clients.identity(as)
	if err != nil {
		return nil, err
	}
	mem := e.remember(owner)
	var left []string
	var awaited []watch.Awaited
	for _, change := range deleted {
		if change.Action != Deleted {
			continue
		}
		at, ok, err := c.locate(change.Entry)
		if err != nil {
			return left, fmt.Errorf("looking for %s: %w", change.Subject(), err)
		}
		if !ok {
			continue
		}
		// An informer that has not seen what was applied cannot say that it is gone.
		gone := watch.Awaited{GroupVersionKind: kindOf(change.Entry), ID: change.ID, Gone: true, ResourceVersion: mem.applied[change.ID].version()}
		if _, sight := e.watches.Look(gone.GroupVersionKind, gone.ID, gone.ResourceVersion); sight == watch.Unknown {
			_, err = c.get(ctx, at)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return left, fmt.Errorf("looking for %s: %w", change.Subject(), err)
			}
		} else if sight == watch.Missing {
			continue
		}
		left, awaited = append(left, change.Subject()), append(awaited, gone)
	}
	e.watches.Await(owner, awaited)
	return left, nil
}
