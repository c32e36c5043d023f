// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/internal/background"
)

// dynamicWatcher wakes canaries when something changes that they depend on. Kinds are
// watched from the first canary on that depends on one, so that a cluster pays for the
// proxies and autoscalers that it uses, and may install their CRDs later. A builder's
// Watches would have to name all kinds when the process starts.
type dynamicWatcher struct {
	caches map[clusterName]cache.Cache
	wake   func(types.NamespacedName)
	index  dependencyIndex

	mu      sync.Mutex
	watched map[clusterKind]bool
	waited  map[clusterKind]bool // for the first list
}

// depend notes what a canary depends on, and watches what was not watched yet. It
// does not wait for a watch to come up: that delivers everything that there is. optional
// is what the canary works without: see [dynamicWatcher.absent].
func (w *dynamicWatcher) depend(ctx context.Context, canary types.NamespacedName, on []clusterRef, optional ...clusterRef) error {
	w.index.set(canary, slices.Concat(on, optional))
	for _, object := range on {
		if err := w.watch(ctx, object.clusterKind); err != nil {
			return fmt.Errorf("watching %s: %w", object.Kind, err)
		}
	}
	for _, object := range optional {
		_ = w.watch(ctx, object.clusterKind) // what may not be watched is looked at again with the next check
	}
	return nil
}

func (w *dynamicWatcher) watch(ctx context.Context, kind clusterKind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[kind] {
		return nil
	}
	informer, err := w.caches[kind.cluster].GetInformer(ctx, watchable(kind.GroupVersionKind), cache.BlockUntilSynced(false))
	if err != nil {
		return router.Explain(err, kind.GroupVersionKind)
	}
	if _, err := informer.AddEventHandler(background.EventHandler(ctx, w.handler(kind))); err != nil {
		return err
	}
	if w.watched == nil {
		w.watched = map[clusterKind]bool{}
	}
	w.watched[kind] = true
	return nil
}

// version is the resource version that the watch of an object saw last; empty if it
// saw none, or does not run yet.
func (w *dynamicWatcher) version(ctx context.Context, object clusterRef) string {
	version, _ := w.seen(ctx, object)
	return version
}

// seen is the resource version that the watch of an object saw last, empty if there is no such
// object. It is not ok where no watch tells.
func (w *dynamicWatcher) seen(ctx context.Context, object clusterRef) (version string, ok bool) {
	w.mu.Lock()
	watched := w.watched[object.clusterKind]
	w.mu.Unlock()
	if !watched {
		return "", false
	}
	from, seen := w.caches[object.cluster], watchable(object.GroupVersionKind)
	informer, err := from.GetInformer(ctx, seen, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() {
		return "", false
	}
	if err := from.Get(ctx, object.ObjectKey, seen); err != nil {
		return "", apierrors.IsNotFound(err)
	}
	return seen.GetResourceVersion(), true
}

// syncPatience is how long the first list of an optional kind is waited for, once.
const syncPatience = 2 * time.Second

// absent reports whether an optional object is certain not to be there. Nothing is
// certain of a kind that the cluster does not have, or that may not be watched.
func (w *dynamicWatcher) absent(ctx context.Context, object clusterRef) bool {
	if w.watch(ctx, object.clusterKind) != nil || !w.synced(ctx, object.clusterKind) {
		return false
	}
	return apierrors.IsNotFound(w.caches[object.cluster].Get(ctx, object.ObjectKey, watchable(object.GroupVersionKind)))
}

// synced reports whether the watch of a kind has delivered what there is. The first call
// waits for that, so that what is told of a canary is the same after a restart.
func (w *dynamicWatcher) synced(ctx context.Context, kind clusterKind) bool {
	w.mu.Lock()
	waited := w.waited[kind]
	if w.waited == nil {
		w.waited = map[clusterKind]bool{}
	}
	w.waited[kind] = true
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	informer, err := w.caches[kind.cluster].GetInformer(ctx, watchable(kind.GroupVersionKind), cache.BlockUntilSynced(!waited))
	return err == nil && informer.HasSynced()
}

// typed are the kinds that more is needed of than metadata: Services are read from
// the same cache by the workload, and autoscalers write their status every few
// seconds, which only their spec tells from a change.
var typed = map[schema.GroupVersionKind]func() client.Object{
	corev1.SchemeGroupVersion.WithKind("Service"): func() client.Object { return &corev1.Service{} },
	autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"): func() client.Object {
		return &autoscalingv2.HorizontalPodAutoscaler{}
	},
}

func watchable(kind schema.GroupVersionKind) client.Object {
	if object, ok := typed[kind]; ok {
		return object()
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

func (w *dynamicWatcher) handler(kind clusterKind) toolscache.ResourceEventHandler {
	changed := func(object any) {
		if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if o, ok := object.(client.Object); ok {
			for _, canary := range w.index.dependentsOf(clusterRef{kind, client.ObjectKeyFromObject(o)}) {
				w.wake(canary)
			}
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: changed,
		UpdateFunc: func(before, object any) {
			if !onlyStatus(before, object) {
				changed(object)
			}
		},
		DeleteFunc: changed,
	}
}

// onlyStatus reports whether an update of an autoscaler or a Gateway changed nothing but
// its status, which no canary depends on. The status of any other kind counts.
func onlyStatus(before, after any) bool {
	switch old := before.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		current, ok := after.(*autoscalingv2.HorizontalPodAutoscaler)
		return ok && sameMetadata(old, current) && equality.Semantic.DeepEqual(old.Spec, current.Spec)
	case *metav1.PartialObjectMetadata:
		current, ok := after.(*metav1.PartialObjectMetadata)
		return ok && (old.Kind == "ScaledObject" || old.Kind == gatewayKind) && sameMetadata(old, current) && old.Generation == current.Generation
	default:
		return false
	}
}

func sameMetadata(a, b client.Object) bool {
	return maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) &&
		a.GetUID() == b.GetUID() && a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp())
}
