// SPDX-License-Identifier: Apache-2.0

// Package imagepolicy reconciles ImagePolicy: it chooses one of the tags that
// the ImageRepository's last scan found.
//
//	scan, spec, request, --> repository --> tags --> search --> status
//	accessFrom, labels,      may I read it?          |
//	pins that end,                                   best candidate first: quarantine, minAge, platform, digest, signature
//	pipelines
//
// Tags alone decide which candidates there are, and in which order; package policy
// does that. Gates that need the registry or the clock are asked of one candidate
// after the other, until one passes all. The choice is the best tag that does, so
// that a tag that is too young, or not signed yet, never keeps an older one from
// being chosen. A search is bounded in each run, and goes on in the next. No worker
// waits for a registry longer than a moment: a look-up that takes longer goes on by
// itself, and the policy comes back when it is done.
//
// A policy that found a tag is Ready, and status.latestRef is its choice. When
// none qualifies, or when it may not read the tags, it is not Ready and latestRef
// keeps the last choice, which then counts for nothing.
//
// Tags live in memory. After a restart a policy whose choice was made for its
// present spec stays as it is until the first scan has brought the tags back;
// any other waits for that scan without being Ready. Nothing is polled: each
// arrival of tags, each change of the repository and of the namespace's labels
// brings the policy back, and so does the moment when a tag is old enough or a pin
// ends. Only missing signatures are looked for again and again, ever less often.
package imagepolicy

import (
	"context"
	"sync"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/scan"
)

// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagepolicies,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagepolicies/status,verbs=get;patch
// +kubebuilder:rbac:groups=image.toolkit.fluxcd.io,resources=imagerepositories,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets;serviceaccounts,verbs=get
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconciler chooses tags.
type Reconciler struct {
	// Client reads ImageRepositories, ImagePolicies and Namespaces from a cache
	// that has the index that SetupWithManager makes.
	Client client.Client
	// Secrets reads Secrets and ServiceAccounts; it should not cache them.
	Secrets  client.Reader
	Registry *registry.Client
	Store    *scan.Store
	Clock    clock.PassiveClock
	// PublicGood is the root of keyless signatures; without one those of the public
	// Sigstore are refused.
	PublicGood *signature.PublicGood
	// Guard decides where certificates may have revocations looked up; nil lets them be
	// anywhere.
	Guard *outbound.Guard
	// NoCrossNamespaceRefs forbids ImageRepositories of other namespaces, whatever
	// their accessFrom says.
	NoCrossNamespaceRefs bool

	// pipelines are Pipelines, which may keep versions back.
	pipelines *reconciler.Optional

	once   sync.Once
	cached *caches
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := reconciler.Index(ctx, mgr, &imagev1.ImagePolicy{}, byRepository, indexOf); err != nil {
		return err
	}
	watches := []reconciler.Watch{
		r.watchRepositories, r.watchNamespaces, r.watchTags, reconciler.OnDelete(&imagev1.ImagePolicy{}, r.forget),
	}
	pipelines, watch, err := reconciler.WatchOptional(ctx, mgr, watchPipelines(mgr))
	if err != nil {
		return err
	}
	r.pipelines = pipelines
	return reconciler.Setup(mgr, kind, r, opts, append(watches, watch)...)
}

var kind = reconciler.Kind[*imagev1.ImagePolicy]{
	Name:      "imagepolicy",
	New:       func() *imagev1.ImagePolicy { return &imagev1.ImagePolicy{} },
	Suspended: func(p *imagev1.ImagePolicy) bool { return p.Spec.Suspend },
	Observed: func(p *imagev1.ImagePolicy) reconciler.StatusFields {
		return reconciler.StatusFields{
			Generation: &p.Status.ObservedGeneration,
			HandledAt:  &p.Status.LastHandledReconcileAt,
		}
	},
	About: func(p *imagev1.ImagePolicy) map[string]string {
		if p.Status.LatestRef == nil {
			return nil
		}
		return map[string]string{imagev1.RevisionAnnotation: p.Status.LatestRef.String()}
	},
}
