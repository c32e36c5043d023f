// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Default retry delays of a failing object: fast enough that a blip costs no
// release time, slow enough that a broken object costs nothing.
const (
	MinRetryDelay = 250 * time.Millisecond
	MaxRetryDelay = 5 * time.Minute
)

// Watch adds a source to a controller.
type Watch func(*builder.Builder) *builder.Builder

// Setup registers c with mgr under the kind's name. The object's own changes
// of spec and of the reconcile request annotation start it; its status does
// not. Everything else that may start it comes as watches.
func Setup[T Object](mgr ctrl.Manager, kind Kind[T], c Controller[T], opts Options, watches ...Watch) error {
	r := newRunner(mgr.GetClient(), mgr.GetAPIReader(), kind, c, opts)
	gvk, err := apiutil.GVKForObject(kind.New(), mgr.GetScheme())
	if err != nil {
		return err
	}
	r.name = gvk.Kind
	if err := registerMetrics(metrics.Registry); err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named(kind.Name).
		For(kind.New(), builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, Requested()))).
		WithOptions(opts.controller(logs(mgr, kind.Name, gvk.Group, gvk.Kind), r.tasks.Has)).
		WatchesRawSource(r.wake)
	for _, watch := range watches {
		b = watch(b)
	}
	return b.Complete(r)
}

// controller are the options of the framework's own. The builder takes them whole,
// in place of what it was told of them before.
func (o Options) controller(logs func(*reconcile.Request) logr.Logger, running func(types.NamespacedName) bool) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: max(o.Concurrent, 1),
		LogConstructor:          logs,
		RateLimiter: limiter{workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
			cmp.Or(o.MinRetryDelay, MinRetryDelay), cmp.Or(o.MaxRetryDelay, MaxRetryDelay)), running},
	}
}

// OnDelete drops what a controller remembers of objects that are deleted. A finalizer
// could do the same, at the price of a write for every object there is.
func OnDelete(kind client.Object, forget func(client.ObjectKey)) Watch {
	return func(b *builder.Builder) *builder.Builder {
		return b.Watches(kind, handler.Funcs{
			DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				forget(client.ObjectKeyFromObject(e.Object))
			},
		})
	}
}

// Requested passes updates that carry a new reconcile request, which is how
// `flux reconcile` and Sluice's own hints ask for a run.
func Requested() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld == nil || e.ObjectNew == nil {
			return false
		}
		before := e.ObjectOld.GetAnnotations()[meta.ReconcileRequestAnnotation]
		after := e.ObjectNew.GetAnnotations()[meta.ReconcileRequestAnnotation]
		return after != "" && before != after
	}}
}
