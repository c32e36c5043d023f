// Package kustomization reconciles Kustomizations: it builds a path of a source
// and applies it.
//
//	source artifact --> anything to do? --> dependencies --> build --> apply
//	                         |                                          |
//	                         '------------> health <--- prune <---------'
//
// "Anything to do?" asks whether the spec, the files that the last build read
// and the values it substituted are the same, and whether the applied objects
// are as they were left. The answer costs no API call. When nothing is to be
// done, all that is written is the revision in the status.
//
// A reconcile never waits. Health, dependencies and the establishment of
// definitions are watched, and bring the Kustomization back when there is news;
// a timer stands by for the timeout and for the next interval.
package kustomization

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/internal/wake"
)

// Opener gives access to the files of an artifact.
type Opener interface {
	Open(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error)
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
	// Builder builds.
	Builder *build.Builder

	client   client.Client
	live     client.Reader
	engine   *apply.Engine
	clock    clock.PassiveClock
	recorder reconciler.Recorder

	builds background.Runner[types.NamespacedName, *build.Result]
	mu     sync.Mutex
	states map[types.NamespacedName]*state
	wake   wake.Source // by news of applied objects, and by builds
}

// SetupWithManager registers the controller, its indexes and its watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts reconciler.Options) error {
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.clock, r.recorder = opts.Clock, opts.Recorder
	r.states = map[types.NamespacedName]*state{}
	r.buildInTheBackground()
	watches, err := watch.New(mgr.GetConfig(), mgr.GetRESTMapper(), mgr.GetLogger().WithName("apply"), r.wake.Wake)
	if err != nil {
		return err
	}
	if err := mgr.Add(watches); err != nil {
		return err
	}
	r.engine = apply.NewEngine(apply.NewClients(mgr.GetConfig(), mgr.GetRESTMapper()), watches)
	r.engine.Clock = opts.Clock
	if err := index(mgr); err != nil {
		return err
	}
	kind := reconciler.Kind[*kustomizev1.Kustomization]{
		Name:      "kustomization",
		New:       func() *kustomizev1.Kustomization { return &kustomizev1.Kustomization{} },
		Suspended: func(k *kustomizev1.Kustomization) bool { return k.Spec.Suspend },
		Observed: func(k *kustomizev1.Kustomization) reconciler.Observed {
			return reconciler.Observed{
				Generation: &k.Status.ObservedGeneration, HandledAt: &k.Status.LastHandledReconcileAt,
			}
		},
		LagsUnlessReady: true, // as with kustomize-controller, whose clients wait for it
		About: func(k *kustomizev1.Kustomization) map[string]string {
			return revisionOf(cmp.Or(k.Status.LastAttemptedRevision, k.Status.LastAppliedRevision), "")
		},
	}
	return reconciler.Setup(mgr, kind, r, opts, r.watchSources, r.watchDependencies, r.watchInputs, r.watchHealth)
}

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, k *kustomizev1.Kustomization) (reconciler.Result, error) {
	if err := refuse(k); err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	artifact, err := r.artifact(ctx, k)
	if err != nil {
		return reconciler.Result{}, err
	}
	p := r.begin(k, artifact)
	result, err := p.run(ctx)
	result.About = p.about()
	// Whoever is asked about an object may quote it: the API server, an admission
	// webhook, the object's own status.
	return result, p.state.mask.Error(err)
}

// watchHealth brings Kustomizations back with news of their objects and builds.
func (r *Reconciler) watchHealth(b *builder.Builder) *builder.Builder {
	return b.WatchesRawSource(&r.wake)
}

func (r *Reconciler) watchSources(b *builder.Builder) *builder.Builder {
	for _, s := range sources {
		b = b.Watches(s.new(), handler.EnqueueRequestsFromMapFunc(r.usersOf(s.kind)), builder.WithPredicates(artifactChanged()))
	}
	return b
}

func (r *Reconciler) watchDependencies(b *builder.Builder) *builder.Builder {
	return b.Watches(&kustomizev1.Kustomization{},
		handler.EnqueueRequestsFromMapFunc(r.dependents), builder.WithPredicates(readinessChanged()))
}

// failure is an error with the reason of the condition that will show it.
type failure struct {
	reason string
	error
}

func (f failure) Unwrap() error { return f.error }

// because gives an error its reason.
func because(reason string, err error) error { return failure{reason: reason, error: err} }

// Reason implements reconciler.Controller.
func (*Reconciler) Reason(err error) string {
	var f failure
	switch {
	case errors.As(err, &f):
		return f.reason
	case errors.Is(err, errAccessDenied):
		return acl.AccessDeniedReason
	case errors.Is(err, errUnsupported):
		return "UnsupportedField"
	}
	return meta.ReconciliationFailedReason
}

// retrying is err, retried at the Kustomization's own pace if it names one, and
// with backoff otherwise.
func retrying(k *kustomizev1.Kustomization, err error) error {
	if k.Spec.RetryInterval == nil {
		return err
	}
	return reconciler.Waiting(err, k.Spec.RetryInterval.Duration)
}

// later is err, which only a change can mend that is watched for; the retry is
// a safety net.
func later(k *kustomizev1.Kustomization, err error) error {
	return reconciler.Waiting(err, k.GetRetryInterval())
}

// pending is err, which is nobody's fault: what it names comes by and by, and is
// watched for.
func pending(k *kustomizev1.Kustomization, err error) error {
	return reconciler.Pending(err, k.GetRetryInterval())
}

// identity is who applies for k.
func (r *Reconciler) identity(k *kustomizev1.Kustomization) apply.Identity {
	name := k.Spec.ServiceAccountName
	if name == "" {
		name = r.DefaultServiceAccount
	}
	if name == "" {
		return apply.Identity{}
	}
	return apply.Identity{Namespace: k.Namespace, ServiceAccount: name}
}

// state returns what is remembered of a Kustomization.
func (r *Reconciler) state(owner types.NamespacedName) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states[owner] == nil {
		r.states[owner] = &state{}
	}
	return r.states[owner]
}

func (r *Reconciler) forget(owner types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.states, owner)
	r.builds.Forget(owner)
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
