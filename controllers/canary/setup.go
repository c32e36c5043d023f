// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/hook"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
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
	Observed: func(c *flaggerv1.Canary) reconciler.StatusFields {
		return reconciler.StatusFields{Generation: &c.Status.ObservedGeneration, HandledAt: &c.Status.LastHandledReconcileAt}
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
	live, err := uncached(mgr)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	clusters := platform{
		config: mgr.GetConfig(), live: clients{workload: live},
		caches: map[clusterName]cache.Cache{workloadCluster: mgr.GetCache()},
	}
	if r.Mesh != nil {
		if clusters.live.mesh, err = uncached(r.Mesh); err != nil {
			return fmt.Errorf("connecting to the API server of the service mesh: %w", err)
		}
		if err := mgr.Add(r.Mesh); err != nil {
			return err
		}
		clusters.caches[meshCluster] = r.Mesh.GetCache()
	}
	r.Log = mgr.GetLogger().WithName(kind.Name)
	runnables, err := r.assemble(clusters, opts)
	if err != nil {
		return err
	}
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}
	opts.Recorder = r.notifier
	return reconciler.Setup(mgr, kind, r, opts,
		func(b *builder.Builder) *builder.Builder { return b.WatchesRawSource(&r.wake) },
		func(b *builder.Builder) *builder.Builder { return b.Watches(&flaggerv1.Canary{}, r.ownEvents()) },
	)
}

// uncached is a client that asks the API server itself.
func uncached(of clusterClient) (client.Client, error) {
	return client.New(of.GetConfig(), client.Options{Scheme: of.GetScheme(), Mapper: of.GetRESTMapper(), HTTPClient: of.GetHTTPClient()})
}

// clusterClient is what of a cluster a client is made of.
type clusterClient interface {
	GetConfig() *rest.Config
	GetScheme() *runtime.Scheme
	GetRESTMapper() meta.RESTMapper
	GetHTTPClient() *http.Client
}

// platform are the clusters that the reconciler works with.
type platform struct {
	config *rest.Config
	live   clients
	caches map[clusterName]cache.Cache
}

// assemble fills in defaults and puts the reconciler together. It returns what the
// manager is to run.
func (r *Reconciler) assemble(p platform, opts reconciler.Options) ([]manager.Runnable, error) {
	r.MinInterval = cmp.Or(r.MinInterval, flaggerv1.MinAnalysisInterval)
	r.Provider = cmp.Or(r.Provider, defaultProvider)
	if r.Clock == nil {
		r.Clock = clock.RealClock{}
	}
	if r.Registry == nil {
		r.Registry = ctrlmetrics.Registry
	}
	r.clock = opts.Clock
	var err error
	if r.metrics, err = newMetrics(r.Registry); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	r.metrics.info.WithLabelValues(r.Version, r.Provider).Set(1)

	watcher := &dynamicWatcher{caches: p.caches, wake: r.wake.Wake}
	r.contentions = &contentions{clock: r.clock, self: fieldManager(p.config)}
	live, runnables := r.writers(p.live, watcher)
	routing := &routing{defaultProvider: r.Provider, live: live, dryRun: dryRunOf(p.live), deps: router.Deps{
		IngressClass: r.IngressClass, IngressAnnotations: r.IngressAnnotations, OwnNamespace: r.NoCrossNamespaceRefs}}
	if r.notifier, err = r.newNotifier(live.workload, opts.Recorder); err != nil {
		return nil, err
	}
	copies := r.Workload
	copies.Warn = func(c *flaggerv1.Canary, err error) { r.notifier.warnOnce(c, aboutWorkload, err) }
	workloads := workload.New(live.workload, p.caches[workloadCluster], r.clock, copies)
	checker := metric.NewChecker(live.workload, r.MetricsServer, r.Clock, r.metricOptions(p.config, live)...)
	newRunner := func(c *flaggerv1.Canary) *metricRunner { return newMetricRunner(c, checker, r.metrics) }
	queries, sampler := newQueries(newRunner, r.notifier.call, r.clock, r.wake.Wake), newSampler(newRunner, r.Clock, r.wake.Wake)
	comparisons := newComparisons(checker, p.live.workload, r.metrics, r.Clock, r.wake.Wake)
	transitions := &transitions{}
	r.observer = &observer{
		minInterval: r.MinInterval, routing: routing, workloads: workloads, status: &statusCheck{live: live.workload},
		rehearsal: &routeDryRun{routing: routing}, checker: checker, watcher: watcher, contentions: r.contentions,
		queries: queries, sampler: sampler, comparisons: comparisons, transitions: transitions, notifier: r.notifier,
		targetConflicts: targetConflicts{p.caches[workloadCluster]}, alerts: &alertChecks{alerts: r.notifier.alerts, watcher: watcher},
	}
	r.recorder = &statusRecorder{clock: r.clock, routing: routing, transitions: transitions, metrics: r.metrics,
		contentions: r.contentions, queries: queries, sampler: sampler, comparisons: comparisons, webhooks: r.notifier.answers}
	r.reverter = &reverter{
		status: live.workload, workloads: workloads, routing: routing, watcher: watcher, recorder: r.notifier,
		clock: r.clock,
	}
	return append(runnables, r.notifier.hooks), nil
}

// writers are clients that read no object twice, and leave out for a while what somebody
// keeps undoing.
func (r *Reconciler) writers(live clients, watcher *dynamicWatcher) (clients, []manager.Runnable) {
	here := newCachedReader(live.workload, workloadCluster, watcher, r.Clock)
	out, runnables := clients{workload: &guardedWriter{here, r.contentions, workloadCluster}}, []manager.Runnable{here}
	if live.mesh != nil {
		there := newCachedReader(live.mesh, meshCluster, watcher, r.Clock)
		out.mesh, runnables = &guardedWriter{there, r.contentions, meshCluster}, append(runnables, there)
	}
	return out, runnables
}

// dryRunOf are clients whose writes are checked, and not performed.
func dryRunOf(live clients) clients {
	out := clients{workload: client.NewDryRunClient(live.workload)}
	if live.mesh != nil {
		out.mesh = client.NewDryRunClient(live.mesh)
	}
	return out
}

func (r *Reconciler) newNotifier(reader client.Reader, events reconciler.Recorder) (*notifier, error) {
	alerts := r.Alerts
	alerts.Reader, alerts.Clock, alerts.Log = reader, r.Clock, r.Log
	alerts.NoCrossNamespaceRefs, alerts.Guard = r.NoCrossNamespaceRefs, r.Guard
	return newNotifier(events, hook.Options{Clock: r.Clock, Log: r.Log, EventWebhook: r.EventWebhook, Guard: r.Guard}, alerts, r.wake.Wake)
}

func (r *Reconciler) metricOptions(config *rest.Config, live clients) []metric.Option {
	options := []metric.Option{
		metric.WithProvider(r.Provider), metric.WithAPIServer(config), metric.WithGuard(r.Guard),
		metric.WithMemory(r.Memory),
	}
	if r.NoCrossNamespaceRefs {
		options = append(options, metric.WithoutCrossNamespaceRefs())
	}
	if live.mesh != nil {
		options = append(options, metric.WithRoutes(live.mesh))
	}
	return options
}

// ownEvents follows the Canaries themselves: it counts them, suspended ones too, starts
// a reconcile for what people say by annotation, and forgets those that are gone.
func (r *Reconciler) ownEvents() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) {
			if c, ok := e.Object.(*flaggerv1.Canary); ok {
				r.metrics.observePhase(c)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, _ queue) {
			if before, ok := e.ObjectOld.(*flaggerv1.Canary); ok && e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				r.observer.targetConflicts.givenUp(ctx, before, r.wake.Wake)
			}
			if c, ok := e.ObjectNew.(*flaggerv1.Canary); ok {
				r.metrics.observePhase(c)
				if c.Spec.Suspend {
					r.stopMeasuring(c.UID)
				}
			}
			for _, annotation := range []string{flaggerv1.CommandAnnotation, flaggerv1.GatesAnnotation} {
				if e.ObjectOld.GetAnnotations()[annotation] != e.ObjectNew.GetAnnotations()[annotation] {
					r.wake.Wake(client.ObjectKeyFromObject(e.ObjectNew))
				}
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, _ queue) {
			if c, ok := e.Object.(*flaggerv1.Canary); ok {
				r.observer.targetConflicts.givenUp(ctx, c, r.wake.Wake)
			}
			r.forget(client.ObjectKeyFromObject(e.Object), e.Object.GetUID())
		},
	}
}

// forget drops everything that is kept in memory about a canary.
func (r *Reconciler) forget(key types.NamespacedName, uid types.UID) {
	r.metrics.forget(key, uid)
	r.observer.watcher.index.forget(key)
	r.observer.status.forget(uid)
	r.observer.rehearsal.forget(uid)
	r.observer.transitions.forget(uid)
	r.stopMeasuring(uid)
	r.observer.workloads.Forget(uid)
	r.contentions.forget(key)
	r.observer.alerts.forget(uid)
	r.notifier.forget(uid)
}
