// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Requests reconciles the objects of a kind that a change elsewhere concerns: those that
// options select and wanted accepts. T is a pointer, such as *Canary, and list an empty
// list of the kind. The objects are those of the cache: wanted changes nothing.
func Requests[T client.Object](
	ctx context.Context, cache client.Reader, list client.ObjectList, wanted func(T) bool, options ...client.ListOption,
) []reconcile.Request {
	var found []reconcile.Request
	err := cache.List(ctx, list, append(options, client.UnsafeDisableDeepCopy)...)
	if err == nil {
		err = apimeta.EachListItem(list, func(item runtime.Object) error {
			if obj, ok := item.(T); ok && wanted(obj) {
				found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
			}
			return nil
		})
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "listing objects that a change concerns")
	}
	return found
}

// Any accepts every object.
func Any[T client.Object](T) bool { return true }

// Updates is the UpdateFunc of a predicate that passes updates of the kind T after which
// something is different.
func Updates[T any](differs func(before, after T) bool) func(event.UpdateEvent) bool {
	return func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(T)
		after, also := e.ObjectNew.(T)
		return ok && also && differs(before, after)
	}
}
