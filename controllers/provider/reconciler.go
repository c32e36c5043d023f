// SPDX-License-Identifier: Apache-2.0

// Package provider reconciles notification.toolkit.fluxcd.io Providers: it says in the
// status whether messages can be sent to one, without sending any.
//
//	spec, Secrets --> dispatch.CheckProvider --> Ready, or Stalled with the field
//
// Flux's Providers of this version have no status, and show what is wrong when the first
// message is lost. Messages are sent by package dispatch, which looks at the Provider and
// its Secrets each time, whatever the status says. The package also connects dispatch to
// the forges that Pipelines use, for commit statuses and comments.
package provider

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/dispatch"
)

// Reconciler says whether Providers can be used.
type Reconciler struct {
	Dispatcher *dispatch.Dispatcher
}

var kind = reconciler.Kind[*v1beta3.Provider]{
	Name:      "provider",
	New:       func() *v1beta3.Provider { return &v1beta3.Provider{} },
	Suspended: func(p *v1beta3.Provider) bool { return p.Spec.Suspend },
	Observed: func(p *v1beta3.Provider) reconciler.StatusFields {
		return reconciler.StatusFields{Generation: &p.Status.ObservedGeneration, HandledAt: &p.Status.LastHandledReconcileAt}
	},
}

// SetupWithManager registers the controller, which looks again when a Secret changes.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	secrets, err := reconciler.Secrets[*v1beta3.Provider]{
		List: func() client.ObjectList { return &v1beta3.ProviderList{} }, Of: secretsOf,
	}.Watch(ctx, mgr, kind.New(), opts)
	if err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind, r, opts, secrets)
}

// secretsOf are the names of the Secrets that a Provider reads.
func secretsOf(p *v1beta3.Provider) []string {
	var names []string
	for _, ref := range []*meta.LocalObjectReference{p.Spec.SecretRef, p.Spec.CertSecretRef, p.Spec.ProxySecretRef} {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *v1beta3.Provider) (reconciler.Result, error) {
	if err := r.Dispatcher.CheckProvider(ctx, p); err != nil {
		return reconciler.Result{}, err
	}
	return reconciler.Result{Reason: meta.SucceededReason, Message: "Initialized", ReadyEvent: reconciler.SkipReadyEvent}, nil
}

var _ reconciler.Forgetter = (*Reconciler)(nil)

// Forget implements reconciler.Forgetter.
func (r *Reconciler) Forget(_ context.Context, key types.NamespacedName) { r.Dispatcher.Forget(key) }

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return meta.FailedReason }
