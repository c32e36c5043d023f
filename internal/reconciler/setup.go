package reconciler

import (
	"cmp"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
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
	r := newRunner(mgr, kind, c, opts)
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
		WithLogConstructor(logs(mgr, kind.Name, gvk.Group, gvk.Kind)).
		For(kind.New(), builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, Requested()))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: max(opts.Concurrent, 1),
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](
				cmp.Or(opts.MinRetryDelay, MinRetryDelay), cmp.Or(opts.MaxRetryDelay, MaxRetryDelay)),
		})
	for _, watch := range watches {
		b = watch(b)
	}
	return b.Complete(r)
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
