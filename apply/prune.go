package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sluice-cd/sluice/apply/inventory"
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

// Terminated waits until the deleted objects are gone, or the timeout is over;
// then it says which is still there.
func (e *Engine) Terminated(ctx context.Context, as Identity, deleted []Change, timeout time.Duration) error {
	c, err := e.clients.identity(as)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, change := range deleted {
		if change.Action != Deleted {
			continue
		}
		err := wait.PollUntilContextCancel(ctx, goneInterval, true, func(ctx context.Context) (bool, error) {
			at, ok, err := c.locate(change.Entry)
			if err != nil || !ok {
				return !ok, err
			}
			_, err = c.get(ctx, at)
			return apierrors.IsNotFound(err), ignore(err)
		})
		if err != nil {
			return fmt.Errorf("%s is still there after %s: %w", change.Subject(), timeout, err)
		}
	}
	return nil
}

// ignore keeps only errors that asking again cannot mend.
func ignore(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return err
	}
	return nil
}
