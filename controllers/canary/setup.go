package canary

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// finalizer is Flagger's, on canaries that revert when they are deleted.
const finalizer = "finalizer.flagger.app"

// defaultProvider suits any cluster: it needs nothing but Services.
const defaultProvider = "kubernetes"

// kind is how the runner sees Canaries. A finalizer that is there is ours to
// release, also when spec.revertOnDeletion was unset since.
var kind = reconciler.Kind[*flaggerv1.Canary]{
	Name:      "canary",
	New:       func() *flaggerv1.Canary { return &flaggerv1.Canary{} },
	Suspended: func(c *flaggerv1.Canary) bool { return c.Spec.Suspend },
	Observed: func(c *flaggerv1.Canary) reconciler.Observed {
		return reconciler.Observed{Generation: &c.Status.ObservedGeneration, HandledAt: &c.Status.LastHandledReconcileAt}
	},
	Finalizer: func(c *flaggerv1.Canary) string {
		if c.Spec.RevertOnDeletion || controllerutil.ContainsFinalizer(c, finalizer) {
			return finalizer
		}
		return ""
	},
}

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts reconciler.Options) error {
	live, err := client.New(mgr.GetConfig(), client.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
	})
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	if err := r.prepare(live, mgr.GetClient(), opts); err != nil {
		return err
	}
	watches, err := r.watches(mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind, r, opts, watches...)
}

// prepare fills in defaults and builds what the reconciler works with.
func (r *Reconciler) prepare(live, cached client.Client, opts reconciler.Options) error {
	if r.MinInterval == 0 {
		r.MinInterval = flaggerv1.MinAnalysisInterval
	}
	if r.Provider == "" {
		r.Provider = defaultProvider
	}
	if r.Registry == nil {
		r.Registry = ctrlmetrics.Registry
	}
	r.live, r.clock, r.recorder = live, opts.Clock, opts.Recorder
	r.kit = workload.New(live, cached, r.clock, r.Workload)
	r.checker = metric.NewChecker(live, r.MetricsServer, r.clock)
	var err error
	if r.metrics, err = newMetrics(r.Registry); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	r.metrics.info.WithLabelValues(r.Version, r.Provider).Set(1)
	return nil
}

// watches are all that starts a reconcile besides the Canary's own spec. Routes
// are watched only if their CRD is installed; without it no canary can use them.
func (r *Reconciler) watches(mapper apimeta.RESTMapper) ([]reconciler.Watch, error) {
	metadata := func(object client.Object, kind string) reconciler.Watch {
		return func(b *builder.Builder) *builder.Builder { return b.WatchesMetadata(object, r.watched.of(kind)) }
	}
	watches := []reconciler.Watch{
		metadata(&appsv1.Deployment{}, deployments),
		metadata(&corev1.ConfigMap{}, configMaps),
		metadata(&corev1.Secret{}, secrets),
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&corev1.Service{}, r.watched.of(services))
		},
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&flaggerv1.Canary{}, r.bookkeeping())
		},
	}
	_, err := mapper.RESTMapping(schema.GroupKind{Group: gatewayv1.GroupName, Kind: "HTTPRoute"}, "v1")
	switch {
	case err == nil:
		return append(watches, metadata(&gatewayv1.HTTPRoute{}, routes)), nil
	case apimeta.IsNoMatchError(err):
		return watches, nil
	default:
		return nil, fmt.Errorf("looking for HTTPRoutes: %w", err)
	}
}

// bookkeeping counts canaries, suspended ones too, and forgets those that go. It
// starts no reconcile.
func (r *Reconciler) bookkeeping() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) {
			if c, ok := e.Object.(*flaggerv1.Canary); ok {
				r.metrics.stands(c)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			key := client.ObjectKeyFromObject(e.Object)
			r.metrics.forget(key)
			r.watched.forget(key)
			r.ticks.forget(e.Object.GetUID())
		},
	}
}
