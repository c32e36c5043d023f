package canary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary/router"
)

// errNotStarted means that a canary is looked at outside a running controller.
var errNotStarted = errors.New("the controller does not run yet")

// feed starts reconciles: when something changes that a canary depends on, and
// when something that it asked for has been found out. Kinds are watched from the
// first canary on that depends on one, so that a cluster pays for the proxies and
// autoscalers that it uses, and may install their CRDs later.
type feed struct {
	cache   cache.Cache
	mesh    cache.Cache // of the cluster of the mesh, nil without one
	watched watchlist

	mu    sync.Mutex
	ctx   context.Context
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	kinds map[sort]bool
}

// Start implements source.Source.
func (f *feed) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctx, f.queue, f.kinds = ctx, queue, map[sort]bool{}
	return nil
}

// wake starts a reconcile.
func (f *feed) wake(canary types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue != nil {
		f.queue.Add(reconcile.Request{NamespacedName: canary})
	}
}

// depend notes what a canary depends on, and watches what was not watched yet. It
// does not wait for a watch to come up: that delivers everything that there is.
func (f *feed) depend(ctx context.Context, canary types.NamespacedName, on []thing) error {
	f.watched.set(canary, on)
	for _, t := range on {
		if err := f.watch(ctx, t.sort); err != nil {
			return fmt.Errorf("watching %s: %w", t.Kind, err)
		}
	}
	return nil
}

func (f *feed) watch(ctx context.Context, kind sort) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queue == nil {
		return errNotStarted
	}
	if f.kinds[kind] {
		return nil
	}
	informer, err := f.of(kind).GetInformer(ctx, watchable(kind.GroupVersionKind), cache.BlockUntilSynced(false))
	if err != nil {
		return router.Explain(err, kind.GroupVersionKind)
	}
	if _, err := informer.AddEventHandler(f.handler(kind)); err != nil {
		return err
	}
	f.kinds[kind] = true
	return nil
}

// of is the cache of the cluster that a kind of things is in.
func (f *feed) of(kind sort) cache.Cache {
	if kind.inMesh {
		return f.mesh
	}
	return f.cache
}

// version is the resource version that the watch of a thing saw last; empty if it
// saw none, or does not run yet.
func (f *feed) version(ctx context.Context, t thing) string {
	f.mu.Lock()
	watched := f.kinds[t.sort]
	f.mu.Unlock()
	if !watched {
		return ""
	}
	seen := watchable(t.GroupVersionKind)
	informer, err := f.of(t.sort).GetInformer(ctx, seen, cache.BlockUntilSynced(false))
	if err != nil || !informer.HasSynced() || f.of(t.sort).Get(ctx, t.ObjectKey, seen) != nil {
		return ""
	}
	return seen.GetResourceVersion()
}

// whole are the kinds that more is needed of than metadata: Services are read from
// the same cache by the workload, and autoscalers write their status every few
// seconds, which only their spec tells from a change.
var whole = map[schema.GroupVersionKind]func() client.Object{
	corev1.SchemeGroupVersion.WithKind("Service"):                        func() client.Object { return &corev1.Service{} },
	autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"): func() client.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
}

func watchable(kind schema.GroupVersionKind) client.Object {
	if object, ok := whole[kind]; ok {
		return object()
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

func (f *feed) handler(kind sort) toolscache.ResourceEventHandler {
	changed := func(object any) {
		if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if o, ok := object.(client.Object); ok {
			for _, canary := range f.watched.who(thing{kind, client.ObjectKeyFromObject(o)}) {
				f.wake(canary)
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

// onlyStatus reports whether an update of an autoscaler changed nothing but its
// status, which is no business of a canary. Of any other kind it is.
func onlyStatus(before, after any) bool {
	switch old := before.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		current, ok := after.(*autoscalingv2.HorizontalPodAutoscaler)
		return ok && sameMetadata(old, current) && equality.Semantic.DeepEqual(old.Spec, current.Spec)
	case *metav1.PartialObjectMetadata:
		current, ok := after.(*metav1.PartialObjectMetadata)
		return ok && old.Kind == "ScaledObject" && sameMetadata(old, current) && old.Generation == current.Generation
	default:
		return false
	}
}

func sameMetadata(a, b client.Object) bool {
	return maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) &&
		a.GetUID() == b.GetUID() && a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp())
}
