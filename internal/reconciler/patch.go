// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patchStatus sends the difference between before and obj, if there is one.
// The optimistic lock keeps a stale cache from overwriting a newer status; when
// only the spec or the metadata moved meanwhile the status is still true, and
// is sent again on the new version so that no fact (a pushed commit) is lost. A patch
// whose answer was lost may have been carried out, of which the events are still to be told.
func (r *runner[T]) patchStatus(ctx context.Context, before, obj T) (bool, error) {
	diff, err := statusDiff(before, obj)
	if err != nil || diff == nil {
		return false, err
	}
	err = r.sendStatus(ctx, obj, diff)
	if err == nil || !apierrors.IsConflict(err) && isRefusal(err) {
		return err == nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerPatience)
	defer cancel()
	live := r.kind.New()
	if getErr := r.live.Get(ctx, client.ObjectKeyFromObject(before), live); getErr != nil {
		return false, errors.Join(err, getErr)
	}
	if missing, diffErr := statusDiff(live, obj); diffErr == nil && missing == nil {
		r.setVersion(obj, live.GetResourceVersion())
		return true, nil
	}
	if moved, diffErr := statusDiff(before, live); diffErr != nil || moved != nil || !apierrors.IsConflict(err) {
		return false, err
	}
	obj.SetResourceVersion(live.GetResourceVersion())
	if err := r.sendStatus(ctx, obj, diff); err != nil {
		return false, err
	}
	return true, nil
}

// answerPatience is how long it is tried to find out what became of a patch.
const answerPatience = 5 * time.Second

// isRefusal reports whether an error is the API server's own: the patch was not carried out.
func isRefusal(err error) bool {
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && answer.Status().Code < http.StatusInternalServerError
}

// setVersion notes the version of obj that was written.
func (r *runner[T]) setVersion(obj T, version string) {
	obj.SetResourceVersion(version)
	r.writes.WroteAt(client.ObjectKeyFromObject(obj), version)
}

// sendStatus patches the status of obj, locked to its version. Of what the API
// server answers only the metadata is of interest, and only that is asked for:
// reading a whole object again costs as much as all the rest of the patch.
func (r *runner[T]) sendStatus(ctx context.Context, obj T, diff map[string]any) error {
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": obj.GetResourceVersion()},
		"status":   diff,
	})
	if err != nil {
		return fmt.Errorf("writing status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	gvk, err := r.client.GroupVersionKindFor(obj)
	if err != nil {
		return err
	}
	written := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: obj.GetNamespace(), Name: obj.GetName()}}
	written.SetGroupVersionKind(gvk)
	if err := r.client.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, data)); err != nil {
		return err
	}
	r.setVersion(obj, written.GetResourceVersion())
	return nil
}

// statusDiff is the JSON merge patch from the status of before to that of after,
// or nil if the API server would keep the same.
func statusDiff(before, after client.Object) (map[string]any, error) {
	if equality.Semantic.DeepEqual(before, after) { // most runs end here, at a tenth of the price
		return nil, nil
	}
	was, err := statusOf(before)
	if err != nil {
		return nil, err
	}
	is, err := statusOf(after)
	if err != nil {
		return nil, err
	}
	diff := mergeDiff(was, is)
	if len(diff) == 0 {
		return nil, nil
	}
	return diff, nil
}

// statusOf is what the API server keeps under status.
func statusOf(obj client.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("reading status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	status, _ := content["status"].(map[string]any)
	return status, nil
}

// mergeDiff is the JSON merge patch (RFC 7386) from a to b: what is gone becomes
// null, and a list that differs is sent whole.
func mergeDiff(a, b map[string]any) map[string]any {
	diff := map[string]any{}
	for key := range a {
		if _, kept := b[key]; !kept {
			diff[key] = nil
		}
	}
	for key, is := range b {
		was, had := a[key]
		from, wasMap := was.(map[string]any)
		to, isMap := is.(map[string]any)
		switch {
		case wasMap && isMap:
			if inner := mergeDiff(from, to); len(inner) > 0 {
				diff[key] = inner
			}
		case !had || !reflect.DeepEqual(was, is):
			diff[key] = is
		}
	}
	return diff
}
