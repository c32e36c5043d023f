// SPDX-License-Identifier: Apache-2.0

// Package pipeline reconciles Pipeline: it gives each stage the bundle that was verified
// in the stages before it, and takes back what fails.
//
//	ImagePolicy chose anew,
//	OCIRepository fetched -------.
//	GitRepository moved ---------+--> observe --> promotion.Decide --> keep the state -->
//	Kustomization, Canary -------+                                     write, merge, verify
//	command, interval, Freeze ---'         ^                                |
//	                                       +---------- until at rest -------+
//
// What a stage has is read from the files of its branch. What was decided is kept on a
// branch of its own by compare-and-swap, before anything is done because of it. The
// status says both again, and is never read.
//
// Where to find what:
//
//	controller.go   what wakes a pipeline          reconcile.go  a run, from one decision to the next
//	affected.go     which ones another object wakes  moved.go  which ones a commit wakes
//	observe.go      what a decision is made from    perform.go    what is done because of one
//	artifact.go     the newest versions             content.go    versions in files
//	repository.go   Git repositories                heads.go      the newest commits of branches
//	landing.go      the commits that brought values conflict.go   who else writes there
//	tag.go, copy.go tags of registries              ocisource.go  who follows them
//	ready.go        whether objects run a content   provenance.go what tells that
//	stale.go        verdicts on the version before
//	verify.go       whether it was verified: by canary.go, job.go or metrics.go
//	pullrequest.go  pull requests as they are       propose.go, merge.go  what is done about them
//	state.go        where decisions are kept        cache.go      what is remembered between runs
//	status.go       what people see                 stageerrors.go  why a stage cannot go on
package pipeline

import (
	"context"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/git/fetchrequest"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
)

// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines;freezes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines/status;freezes/status,verbs=get;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagepolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=source.toolkit.fluxcd.io,resources=gitrepositories,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=source.toolkit.fluxcd.io,resources=ocirepositories,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=kustomize.toolkit.fluxcd.io,resources=kustomizations,verbs=get;list;watch
// +kubebuilder:rbac:groups=flagger.app,resources=canaries,verbs=get;list;watch
// +kubebuilder:rbac:groups=flagger.app,resources=metrictemplates,verbs=get
// +kubebuilder:rbac:groups=external.metrics.k8s.io,resources=*,verbs=list
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconciler carries bundles through the stages of pipelines.
type Reconciler struct {
	// Client should cache what is listed, and may leave Secrets out. Live reads what it
	// does not.
	Client client.Client
	Live   client.Reader
	Writer *writeback.Writer
	// Mirrors are the mirrors of the writer.
	Mirrors *git.Mirrors
	// Access says which GitRepositories pipelines may write to.
	Access access.Access
	// ServesSources says that GitRepositories are served by this process, where Sources
	// wakes them after a push. Those that somebody else serves are asked for a reconcile.
	ServesSources bool
	Sources       fetchrequest.Waker
	// Forges reach the APIs of Git servers, for pull requests; nil refuses them.
	Forges *forge.Clients
	// Registry is what tags are read and moved with; nil refuses them.
	Registry *registry.Client
	// KubeConfigs are of the clusters that stages are in.
	KubeConfigs *kubeconfig.Reader
	Clock       clock.WithTicker
	// Checker measures metrics that verify; nil refuses them. Its field is [MetricsField].
	Checker *metric.Checker

	caches pipelineCaches
	// opened are the mirrors of the GitRepositories that pipelines were opened on.
	opened mirrors
	// readerOf begins to read the objects of a pipeline. cached are the kinds of them that
	// the Client has in this cluster.
	readerOf func(pipeline types.NamespacedName) objectReader
	cached   map[string]bool
	wake     wake.Source
	// measuring are measurements that are under way.
	measuring background.Runner[metricsKey, promotion.Measurement]
	// copying are copies of images that are under way.
	copying background.Runner[copyKey, struct{}]
	recents recentPullRequests
	remotes remotes
	// refs are those of repositories that have states.
	refs sharedRequests[remoteKey, map[string]plumbing.Hash]
	// logs reads the end of a pod's log.
	logs func(ctx context.Context, pod types.NamespacedName) (string, error)
}

// kind is how the runner sees a pipeline.
func kind() reconciler.Kind[*sluicev1.Pipeline] {
	return reconciler.Kind[*sluicev1.Pipeline]{
		Name:      "pipeline",
		New:       func() *sluicev1.Pipeline { return &sluicev1.Pipeline{} },
		Suspended: func(p *sluicev1.Pipeline) bool { return p.Spec.Suspend },
		Observed: func(p *sluicev1.Pipeline) reconciler.StatusFields {
			return reconciler.StatusFields{Generation: &p.Status.ObservedGeneration, HandledAt: &p.Status.LastHandledReconcileAt}
		},
	}
}

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	seen := kind()
	seen.Host = r.host
	r.measuring.Patience, r.measuring.PerNamespace, r.measuring.Limit = background.DefaultPatience, maxConcurrentMeasurements, maxMeasurements
	r.measuring.Wake = func(key metricsKey) { r.wake.Wake(key.pipeline) }
	r.copying.Patience, r.copying.PerHost, r.copying.PerNamespace = background.DefaultPatience, copiesPerRegistry, copiesAtOnce
	r.copying.Wake = func(key copyKey) { r.wake.Wake(key.pipeline) }
	if err := reconciler.Index(ctx, mgr, &sluicev1.Pipeline{}, byFields, fieldKeys); err != nil {
		return err
	}
	clusters, err := r.openClusters(mgr)
	if err != nil {
		return err
	}
	watches := []reconciler.Watch{
		r.watch(&imagev1.ImagePolicy{}, r.affected().pipelinesOfPolicy),
		r.watchSources,
		r.watch(&sluicev1.Freeze{}, r.affected().allPipelines),
		commanded, r.watchConflicts,
		reconciler.OnDelete(&sluicev1.Pipeline{}, func(pipeline client.ObjectKey) {
			if last := r.caches.forget(pipeline); last != nil {
				metrics{measuring: &r.measuring, cache: &last.measurements}.forgetOthers()
				r.forgetCopies(last)
			}
			clusters.Forget(pipeline)
		}),
		func(b *builder.Builder) *builder.Builder { return b.WatchesRawSource(&r.wake) },
	}
	for _, other := range []client.Object{&kustomizev1.Kustomization{}, &flaggerv1.Canary{}, &sourcev1.OCIRepository{}} {
		gvk, err := mgr.GetClient().GroupVersionKindFor(other)
		if err != nil {
			return err
		}
		if _, err := mgr.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err == nil {
			r.cached[gvk.Kind] = true
			watches = append(watches, r.watch(other, r.affected().pipelinesOfObject(gvk.Kind)))
		}
	}
	watches = append(watches, r.watchGuard()...)
	if err := reconciler.AddScraped(mgr, r.collectSeries, seriesDescs...); err != nil {
		return err
	}
	return reconciler.Setup(mgr, seen, r, opts, watches...)
}

func (r *Reconciler) watch(kind client.Object, pipelines handler.MapFunc) reconciler.Watch {
	return func(b *builder.Builder) *builder.Builder {
		return b.Watches(kind, handler.EnqueueRequestsFromMapFunc(pipelines))
	}
}

// commanded watches the annotations of pipelines.
func commanded(b *builder.Builder) *builder.Builder {
	return b.Watches(&sluicev1.Pipeline{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false }, UpdateFunc: isCommanded,
	}))
}

// isCommanded reports whether somebody wrote an annotation of a pipeline that has commands.
func isCommanded(e event.UpdateEvent) bool {
	commands, unreadable := commandsOf(e.ObjectNew)
	return len(commands)+len(unreadable) > 0 && predicate.AnnotationChangedPredicate{}.Update(e)
}

// host is the Git server that has the state of a pipeline, or the registry of one without
// Git.
func (r *Reconciler) host(ctx context.Context, p *sluicev1.Pipeline) string {
	key, ok := sourceKey(p)
	if !ok && len(p.Spec.Stages) > 0 && p.Spec.Stages[0].Write.Tag != nil {
		tag, err := tagName(p.Spec.Stages[0].Write.Tag)
		if err != nil {
			return "" // the run will say so
		}
		return tag.RegistryStr()
	}
	var repo sourcev1.GitRepository
	if !ok || r.Client.Get(ctx, key, &repo) != nil {
		return "" // the run will say so
	}
	return credential.Route(&repo)
}

// keyOf names an object that a pipeline refers to.
func keyOf(p *sluicev1.Pipeline, namespace, name string) client.ObjectKey {
	if namespace == "" {
		namespace = p.Namespace
	}
	return client.ObjectKey{Namespace: namespace, Name: name}
}
