// SPDX-License-Identifier: Apache-2.0

// Package alert reconciles notification.toolkit.fluxcd.io Alerts: it says in the status
// whether an Alert can select events, and whether its Provider is there.
//
//	spec, Provider --> dispatch.CheckAlert --> Ready, or Stalled with the field
//
// Flux's Alerts of this version have no status. Events are selected by package dispatch,
// which compiles the expressions for itself.
package alert

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/dispatch"
)

// Reconciler says whether Alerts can be used.
type Reconciler struct {
	// Client caches Providers.
	Client client.Client
	// NoCrossNamespaceRefs is the flag; an Alert that it limits says so.
	NoCrossNamespaceRefs bool
}

var kind = reconciler.Kind[*v1beta3.Alert]{
	Name:      "alert",
	New:       func() *v1beta3.Alert { return &v1beta3.Alert{} },
	Suspended: func(a *v1beta3.Alert) bool { return a.Spec.Suspend },
	Observed: func(a *v1beta3.Alert) reconciler.StatusFields {
		return reconciler.StatusFields{Generation: &a.Status.ObservedGeneration, HandledAt: &a.Status.LastHandledReconcileAt}
	},
}

// byProvider indexes Alerts by their Provider.
const byProvider = "sluice.dev/provider"

// retryProvider is how soon a Provider that is not there is looked for again. It is
// watched, too; this is the safety net.
const retryProvider = time.Minute

// SetupWithManager registers the controller, and the index that events find Alerts by.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := reconciler.Index(ctx, mgr, kind.New(), dispatch.SourceIndex, dispatch.IndexSources); err != nil {
		return err
	}
	if err := reconciler.Index(ctx, mgr, kind.New(), byProvider, providerOf); err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind, r, opts, func(b *builder.Builder) *builder.Builder {
		return b.Watches(&v1beta3.Provider{}, handler.EnqueueRequestsFromMapFunc(r.alertsOf))
	})
}

// providerOf is the name of the Provider of an Alert.
func providerOf(alert client.Object) []string {
	return []string{alert.(*v1beta3.Alert).Spec.ProviderRef.Name}
}

// alertsOf are requests for the Alerts of a Provider.
func (r *Reconciler) alertsOf(ctx context.Context, provider client.Object) []reconcile.Request {
	return reconciler.Requests(ctx, r.Client, &v1beta3.AlertList{}, reconciler.Any[*v1beta3.Alert],
		client.InNamespace(provider.GetNamespace()), client.MatchingFields{byProvider: provider.GetName()})
}

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, a *v1beta3.Alert) (reconciler.Result, error) {
	if err := dispatch.CheckAlert(a.Spec); err != nil {
		return reconciler.Result{}, reconcile.TerminalError(reconciler.WithReason(v1beta3.ValidationFailedReason, err))
	}
	name := a.Spec.ProviderRef.Name
	var provider v1beta3.Provider
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: name}, &provider)
	if apierrors.IsNotFound(err) {
		return reconciler.Result{}, reconciler.Waiting(reconciler.WithReason(v1beta3.ProviderNotFoundReason,
			fmt.Errorf("spec.providerRef: Provider '%s/%s' is not there", a.Namespace, name)), retryProvider)
	}
	if err != nil {
		return reconciler.Result{}, err
	}
	result := reconciler.Result{Reason: meta.SucceededReason, Message: "Initialized", ReadyEvent: reconciler.SkipReadyEvent}
	for i, source := range a.Spec.EventSources {
		if r.NoCrossNamespaceRefs && source.Namespace != "" && source.Namespace != a.Namespace {
			result.Message += fmt.Sprintf("; events of spec.eventSources[%d] are not told: cross-namespace references have been blocked", i)
		}
	}
	return result, nil
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return meta.FailedReason }
