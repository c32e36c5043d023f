// SPDX-License-Identifier: Apache-2.0

// Package kustomization reconciles Kustomizations: it builds a path of a source
// and applies it.
//
//	observe --> Decide --> perform --> Decide --> ... --> record
//
// Whether there is anything to do depends on whether the spec, the files that the last
// build read and the values it substituted are the same, and whether the applied
// objects are as they were left. The answer costs no API call. When nothing is to be
// done, all that is written is the revision in the status. The state machine is
// [decide.Decide].
//
// A reconcile never waits. Health, dependencies, terminations and the establishment of
// definitions are watched, and start another reconcile when there is news; a timer
// stands by for the timeout and for the next interval.
package kustomization

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/decrypt"
	"github.com/sluice-cd/sluice/apply/remote"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/source"
)

// Opener gives access to the files of an artifact, on the account of a namespace.
type Opener interface {
	Open(ctx context.Context, namespace string, artifact *meta.Artifact) (tree.Tree, error)
}

// Reconciler reconciles Kustomizations.
type Reconciler struct {
	// Opener opens the artifacts of sources.
	Opener Opener
	// NoCrossNamespaceRefs refuses sources of other namespaces.
	NoCrossNamespaceRefs bool
	// DefaultServiceAccount applies for Kustomizations that name none; "" is
	// the controller itself.
	DefaultServiceAccount string
	// OverriddenManagers are field managers whose changes to applied objects are undone, besides
	// those of kubectl.
	OverriddenManagers []string
	// EarlyKinds are applied after definitions and classes and before all else; nil is none.
	EarlyKinds map[schema.GroupKind]struct{}
	// AdditiveReadyExpr asks of a dependency with a readyExpr what is asked of others, too.
	AdditiveReadyExpr bool
	// LenientSubstitutions lets variables without value and default stand for nothing.
	LenientSubstitutions bool
	// Decryption decrypts.
	Decryption Decryption
	// KubeConfigs are of other clusters that Kustomizations apply to.
	KubeConfigs *kubeconfig.Reader
	// Builder builds.
	Builder *build.Builder
	// Jitter is the largest part by which intervals are shorter or longer.
	Jitter float64
	// Remote fetches what kustomizations refer to outside of their source; nil refuses it.
	Remote *remote.Fetcher
	// Store has the artifacts of the sources that this process serves; nil if it serves none.
	Store *source.Store

	client   client.Client
	live     client.Reader
	clock    clock.PassiveClock
	recorder reconciler.Recorder
	states   *states

	builds       background.Runner[types.NamespacedName, *build.Result]
	remoteBuilds *background.Slots[string] // of what is for other clusters
	wake         wake.Source               // by news of applied objects, and by builds
}

// profile is what an apply has to know about Kustomizations. The field manager is
// upstream's, so that objects can change hands without a conflict.
var profile = decide.NewProfile(
	schema.GroupKind{Group: kustomizev1.GroupVersion.Group, Kind: kustomizev1.KustomizationKind}, "kustomize-controller")

// SetupWithManager registers the controller, its indexes and its watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.clock, r.recorder = opts.Clock, opts.Recorder
	r.buildInTheBackground()
	if r.Decryption.Services == nil {
		r.Decryption.Services = &decrypt.Services{Client: r.client}
	}
	if r.KubeConfigs == nil {
		r.KubeConfigs = &kubeconfig.Reader{Objects: r.live, Client: r.client, Clock: opts.Clock}
	}
	profile := *profile
	profile.OverriddenManagers, profile.EarlyKinds = r.OverriddenManagers, r.EarlyKinds
	informers, err := watch.New(mgr.GetConfig(), mgr.GetRESTMapper(), mgr.GetLogger().WithName("apply"), &profile)
	if err != nil {
		return err
	}
	if err := mgr.Add(informers); err != nil {
		return err
	}
	clients := apply.NewClients(mgr.GetConfig(), mgr.GetRESTMapper(), profile.FieldManager)
	of := &clusters{
		local: apply.NewEngine(&profile, clients, informers, opts.Clock), kubeConfigs: r.KubeConfigs,
		profile: &profile, clock: opts.Clock, log: mgr.GetLogger().WithName("apply"),
	}
	if err := mgr.Add(of); err != nil {
		return err
	}
	r.states = newStates(of, r.wake.Wake)
	if err := index(ctx, mgr); err != nil {
		return err
	}
	w := watches{cache: r.client, wake: &r.wake, states: r.states}
	return reconciler.Setup(mgr, kind(), r, opts, w.sources, w.dependencies, w.inputs(opts), w.wakes)
}

// CheckOverruled refuses field managers that would be the controller's own.
func CheckOverruled(managers []string) error {
	for _, name := range managers {
		if strings.HasPrefix(profile.FieldManager, name) {
			return fmt.Errorf("%q is the beginning of %q, which applies the objects: write out the name that metadata.managedFields has",
				name, profile.FieldManager)
		}
	}
	return nil
}

// kind is what the machinery that all kinds share asks of a Kustomization.
func kind() reconciler.Kind[*kustomizev1.Kustomization] {
	return reconciler.Kind[*kustomizev1.Kustomization]{
		Name:      "kustomization",
		New:       func() *kustomizev1.Kustomization { return &kustomizev1.Kustomization{} },
		Suspended: func(k *kustomizev1.Kustomization) bool { return k.Spec.Suspend },
		Observed: func(k *kustomizev1.Kustomization) reconciler.StatusFields {
			return reconciler.StatusFields{
				Generation: &k.Status.ObservedGeneration, HandledAt: &k.Status.LastHandledReconcileAt,
			}
		},
		Host:            func(_ context.Context, k *kustomizev1.Kustomization) string { return hostOf(k) },
		Waits:           func(k *kustomizev1.Kustomization) bool { return k.Spec.KubeConfig != nil },
		LagsUnlessReady: true, // as with kustomize-controller, whose clients wait for it
		About: func(k *kustomizev1.Kustomization) map[string]string {
			return revisionOf(cmp.Or(k.Status.LastAttemptedRevision, k.Status.LastAppliedRevision), "")
		},
	}
}

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, k *kustomizev1.Kustomization) (reconciler.Result, error) {
	run, err := r.observe(ctx, k)
	if err != nil {
		return run.recordFailure(reconciler.Result{}, err)
	}
	for {
		decision := decide.Decide(run.seen, run.state.previous, r.clock.Now())
		run.state.previous = decision.State
		if decision.Action == decide.Report {
			return run.record(r.clock.Now(), decision.Report, r.sharedObjects(ctx, run))
		}
		r.perform(ctx, run, decision)
	}
}

// buildInTheBackground prepares for builds that take longer than a worker waits.
func (r *Reconciler) buildInTheBackground() {
	if r.Builder == nil {
		r.Builder = &build.Builder{}
	}
	r.builds.Patience, r.builds.PerNamespace, r.builds.Keep = buildPatience, buildsPerNamespace, buildKept
	r.builds.Wake = r.wake.Wake
	r.remoteBuilds = background.NewSlots[string](0, buildsPerNamespace)
}

// identity is who applies for k.
func (r *Reconciler) identity(k *kustomizev1.Kustomization) apply.Impersonation {
	name := k.Spec.ServiceAccountName
	if name == "" {
		name = r.DefaultServiceAccount
	}
	if name == "" {
		return apply.Impersonation{}
	}
	return apply.Impersonation{Namespace: k.Namespace, ServiceAccount: name}
}

func keyOf(obj client.Object) types.NamespacedName { return client.ObjectKeyFromObject(obj) }

func inNamespace(namespace, fallback, name string) types.NamespacedName {
	if namespace == "" {
		namespace = fallback
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func mustBe[T client.Object](obj client.Object) (T, error) {
	typed, ok := obj.(T)
	if !ok {
		return typed, fmt.Errorf("unexpected object %T", obj)
	}
	return typed, nil
}
