// SPDX-License-Identifier: Apache-2.0

// Package imageupdateautomation reconciles ImageUpdateAutomation: it writes what
// the image policies of its namespace chose into a Git branch.
//
//	ImagePolicy chose anew ----.
//	GitRepository moved -------+--> observe --> writeback.Writer --> status, hint
//	interval, spec, request ---'                                     to the source
//
// A policy counts when its spec.policySelector matches and when it is Ready for
// its current spec: a choice made by a spec that was changed since, or by a
// policy that failed since, is not written. A run that finds nothing to write
// costs one round trip to the Git server.
//
// The GitRepository gives the URL, the credentials and the timeout. One of
// another namespace has to name the automation's namespace in its annotation
// sluice.dev/write-from, or whoever may create an automation could push with
// anybody's credentials.
//
// What the status tells of the last run decides what to make of the branch now:
// an update that was written and is gone was taken back by someone, and is held
// until the policy chooses again or a person says so. Nothing of that is in
// memory, which a restart would lose.
//
// A marker that a stage of a Pipeline writes is left to it: the stage gets what was
// verified for it, and the newest choice would run ahead of that.
package imageupdateautomation

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/git/fetchrequest"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
)

// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imageupdateautomations,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imageupdateautomations/status,verbs=get;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagepolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines,verbs=get;list;watch
// +kubebuilder:rbac:groups=source.toolkit.fluxcd.io,resources=gitrepositories,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconciler writes chosen images to Git.
type Reconciler struct {
	// Client should cache what is listed, and may leave Secrets out.
	Client client.Client
	Writer *writeback.Writer
	// ServesSources says that GitRepositories are served by this process, where Sources
	// wakes them after a push. Those that somebody else serves are asked for a reconcile.
	ServesSources bool
	Sources       fetchrequest.Waker
	Clock         clock.PassiveClock
	// Forges reach the APIs of Git servers, for pull requests; nil refuses them.
	Forges *forge.Clients
	// Access says which GitRepositories automations may write to.
	Access access.Access

	// pipelines are Pipelines, whose stages may write markers.
	pipelines *reconciler.Optional
	tracker   tracker
}

// kind is how the runner sees an automation.
func kind() reconciler.Kind[*imagev1.ImageUpdateAutomation] {
	return reconciler.Kind[*imagev1.ImageUpdateAutomation]{
		Name:      "imageupdateautomation",
		New:       func() *imagev1.ImageUpdateAutomation { return &imagev1.ImageUpdateAutomation{} },
		Suspended: func(a *imagev1.ImageUpdateAutomation) bool { return a.Spec.Suspend },
		Observed: func(a *imagev1.ImageUpdateAutomation) reconciler.StatusFields {
			return reconciler.StatusFields{
				Generation: &a.Status.ObservedGeneration, HandledAt: &a.Status.LastHandledReconcileAt,
			}
		},
		About: func(a *imagev1.ImageUpdateAutomation) map[string]string {
			return map[string]string{imagev1.RevisionAnnotation: a.Status.ObservedSourceRevision}
		},
	}
}

// SetupWithManager registers the controller, its watches and its metrics.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := registerMetrics(metrics.Registry); err != nil {
		return err
	}
	seen := kind()
	seen.Host = r.host
	pipelines, watch, err := reconciler.WatchOptional(ctx, mgr, r.watchPipelines())
	if err != nil {
		return err
	}
	r.pipelines = pipelines
	return reconciler.Setup(mgr, seen, r, opts, watch,
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&imagev1.ImagePolicy{}, policyHandler{
				EventHandler: handler.EnqueueRequestsFromMapFunc(r.automationsOfPolicy), tracker: &r.tracker,
			}, builder.WithPredicates(policyChanged()))
		},
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&sourcev1.GitRepository{},
				handler.EnqueueRequestsFromMapFunc(r.automationsOfSource),
				builder.WithPredicates(sourceChanged())).
				Watches(&sourcev1.GitRepository{},
					handler.EnqueueRequestsFromMapFunc(r.automationsBeside),
					builder.WithPredicates(predicate.GenerationChangedPredicate{}))
		},
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&imagev1.ImageUpdateAutomation{}, &handler.EnqueueRequestForObject{},
				builder.WithPredicates(resumeAsked()))
		},
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&imagev1.ImageUpdateAutomation{}, handler.Funcs{DeleteFunc: r.onDelete})
		})
}

// onDelete forgets an automation that was deleted.
func (r *Reconciler) onDelete(_ context.Context, e event.DeleteEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	forgetMarkers(client.ObjectKeyFromObject(e.Object))
	r.tracker.forgetAutomation(e.Object.GetUID())
}

// policyHandler also forgets policies that were deleted.
type policyHandler struct {
	handler.EventHandler
	tracker *tracker
}

// Delete implements handler.EventHandler.
func (h policyHandler) Delete(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	h.EventHandler.Delete(ctx, e, queue)
	h.tracker.forgetPolicy(client.ObjectKeyFromObject(e.Object))
}
