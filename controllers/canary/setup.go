package canary

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// finalizer is Flagger's, on canaries that revert when they are deleted.
const finalizer = "finalizer.flagger.app"

// defaultProvider suits any cluster: it needs nothing but Services.
const defaultProvider = provider.Kubernetes

// kind is how the runner sees Canaries. A finalizer that is there is ours to
// release, also when spec.revertOnDeletion was unset since.
var kind = reconciler.Kind[*flaggerv1.Canary]{
	Name:      "canary",
	New:       func() *flaggerv1.Canary { return &flaggerv1.Canary{} },
	Suspended: func(c *flaggerv1.Canary) bool { return c.Spec.Suspend },
	Observed: func(c *flaggerv1.Canary) reconciler.Observed {
		return reconciler.Observed{Generation: &c.Status.ObservedGeneration, HandledAt: &c.Status.LastHandledReconcileAt}
	},
	About: func(c *flaggerv1.Canary) map[string]string {
		return map[string]string{flaggerv1.EventRevision: c.Status.Applied()}
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
	var err error
	if r.live, err = uncached(mgr); err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	if r.Mesh != nil {
		if r.mesh, err = uncached(r.Mesh); err != nil {
			return fmt.Errorf("connecting to the API server of the service mesh: %w", err)
		}
		if err := mgr.Add(r.Mesh); err != nil {
			return err
		}
	}
	r.Log = mgr.GetLogger().WithName(kind.Name)
	if err := r.prepare(mgr, opts); err != nil {
		return err
	}
	opts.Recorder = r.teller
	return errors.Join(mgr.Add(r.teller.hooks), mgr.Add(r.teller.alerts), reconciler.Setup(mgr, kind, r, opts,
		func(b *builder.Builder) *builder.Builder { return b.WatchesRawSource(r.feed) },
		func(b *builder.Builder) *builder.Builder { return b.Watches(&flaggerv1.Canary{}, r.bookkeeping()) },
	))
}

// uncached is a client that asks the API server itself.
func uncached(of cluster.Cluster) (client.Client, error) {
	return client.New(of.GetConfig(), client.Options{Scheme: of.GetScheme(), Mapper: of.GetRESTMapper(), HTTPClient: of.GetHTTPClient()})
}

// prepare fills in defaults and builds what the reconciler works with.
func (r *Reconciler) prepare(mgr ctrl.Manager, opts reconciler.Options) error {
	r.MinInterval = cmp.Or(r.MinInterval, flaggerv1.MinAnalysisInterval)
	r.Provider = cmp.Or(r.Provider, defaultProvider)
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	if r.Registry == nil {
		r.Registry = ctrlmetrics.Registry
	}
	r.clock = opts.Clock
	r.feed = &feed{cache: mgr.GetCache()}
	r.dry = client.NewDryRunClient(r.live)
	if r.Mesh != nil {
		r.dryMesh = client.NewDryRunClient(r.mesh)
	}
	if err := r.recallObjects(mgr); err != nil {
		return err
	}
	copies := r.Workload
	copies.Warn = r.warnOnce
	r.workloads = workload.New(r.live, mgr.GetCache(), r.clock, copies)
	r.checker = metric.NewChecker(r.live, r.MetricsServer, r.clock, r.measuring(mgr.GetConfig())...)
	r.probe = &probe{meter: r.meter, call: r.call, clock: r.clock, feed: r.feed}
	r.sampler = &sampler{clock: r.Clock, meter: r.meter, feed: r.feed}
	var err error
	if r.teller, err = r.newTeller(opts.Recorder); err != nil {
		return err
	}
	if r.metrics, err = newMetrics(r.Registry); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	r.metrics.info.WithLabelValues(r.Version, r.Provider).Set(1)
	return nil
}

// recallObjects spares reads of both clusters, and writes that are undone.
func (r *Reconciler) recallObjects(mgr ctrl.Manager) error {
	here := newRecall(r.live, r.feed, r.Clock)
	r.fights = &fights{clock: r.clock, self: fieldManager(mgr.GetConfig())}
	r.live = &referee{here, r.fights, false}
	if r.Mesh == nil {
		return mgr.Add(here)
	}
	r.feed.mesh = r.Mesh.GetCache()
	there := newRecall(r.mesh, r.feed, r.Clock)
	there.inMesh, r.mesh = true, &referee{there, r.fights, true}
	return errors.Join(mgr.Add(here), mgr.Add(there))
}

func (r *Reconciler) measuring(config *rest.Config) []metric.Option {
	options := []metric.Option{metric.WithProvider(r.Provider), metric.WithAPIServer(config), metric.WithGuard(r.Guard), metric.WithMemory(r.Memory)}
	if r.NoCrossNamespaceRefs {
		options = append(options, metric.WithoutCrossNamespaceRefs())
	}
	return options
}

// follow takes in what an update of a canary says by itself.
func (r *Reconciler) follow(c *flaggerv1.Canary) {
	r.metrics.stands(c)
	if c.Spec.Suspend {
		r.ease(c)
	}
}

// bookkeeping counts canaries, suspended ones too, and forgets those that go. It
// starts a reconcile for what people say by annotation.
func (r *Reconciler) bookkeeping() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) {
			if c, ok := e.Object.(*flaggerv1.Canary); ok {
				r.metrics.stands(c)
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
			if c, ok := e.ObjectNew.(*flaggerv1.Canary); ok {
				r.follow(c)
			}
			for _, annotation := range []string{flaggerv1.CommandAnnotation, flaggerv1.GatesAnnotation} {
				if e.ObjectOld.GetAnnotations()[annotation] != e.ObjectNew.GetAnnotations()[annotation] {
					r.feed.wake(client.ObjectKeyFromObject(e.ObjectNew))
				}
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			key, uid := client.ObjectKeyFromObject(e.Object), e.Object.GetUID()
			r.metrics.forget(key, uid)
			r.feed.watched.forget(key)
			r.checked.Delete(uid)
			r.rehearsed.Delete(uid)
			r.ticks.forget(uid)
			r.probe.forget(uid)
			r.sampler.forget(uid)
			r.workloads.Forget(uid)
			r.warnings.forget(uid)
			r.fights.forget(key)
			r.teller.alerts.Forget(uid)
		},
	}
}
