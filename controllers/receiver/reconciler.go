// SPDX-License-Identifier: Apache-2.0

// Package receiver reconciles notification.toolkit.fluxcd.io Receivers: it gives
// each the path at which its webhooks arrive, and refuses what could never work.
//
//	spec, Secret --> notify.Check, token --> status.webhookPath, Ready
//
// The path is the hash of the token, the name and the namespace, as in Flux, so
// that a sender that was set up for Flux reaches the same Receiver here. Requests
// are answered by package notify, which finds Receivers by their path and checks
// the token again each time.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/cel"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify"
)

// Reconciler reconciles Receivers.
type Reconciler struct {
	// Secrets reads Secrets; it should not cache them.
	Secrets client.Reader
	// Resources reads the metadata of what Receivers name; it should not cache it.
	Resources client.Reader
	// NoCrossNamespaceRefs is the flag of the requests; a Receiver that it limits
	// says so.
	NoCrossNamespaceRefs bool

	checks    checks
	expensive expensive
}

// TooExpensive is what package notify tells of a Receiver one of whose expressions
// took more than it may. It is stalled until somebody edits it, or asks for a
// reconcile: the next request would take as much.
func (r *Reconciler) TooExpensive(obj *notificationv1.Receiver, err error) {
	r.expensive.record(obj, err)
}

// SetupWithManager registers the controller, and the index that package notify
// finds Receivers by.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := reconciler.Index(ctx, mgr, &notificationv1.Receiver{}, notify.WebhookPathIndex, notify.IndexWebhookPath); err != nil {
		return err
	}
	tokens, err := reconciler.Secrets[*notificationv1.Receiver]{
		List: func() client.ObjectList { return &notificationv1.ReceiverList{} }, Of: secretsOf,
	}.Watch(ctx, mgr, kind.New(), opts)
	if err != nil {
		return err
	}
	tooExpensive := func(b *builder.Builder) *builder.Builder { return b.WatchesRawSource(&r.expensive.wake) }
	return reconciler.Setup(mgr, kind, r, opts, tokens, tooExpensive, reconciler.OnDelete(&notificationv1.Receiver{}, r.forget))
}

// secretsOf are the names of the Secrets that a Receiver reads.
func secretsOf(obj *notificationv1.Receiver) []string {
	if obj.Spec.SecretRef == nil {
		return nil
	}
	return []string{obj.Spec.SecretRef.Name}
}

func (r *Reconciler) forget(key client.ObjectKey) {
	r.checks.forget(key)
	r.expensive.forget(key)
}

var kind = reconciler.Kind[*notificationv1.Receiver]{
	Name:      "receiver",
	New:       func() *notificationv1.Receiver { return &notificationv1.Receiver{} },
	Suspended: func(obj *notificationv1.Receiver) bool { return obj.Spec.Suspend },
	Observed: func(obj *notificationv1.Receiver) reconciler.StatusFields {
		return reconciler.StatusFields{
			Generation: &obj.Status.ObservedGeneration, HandledAt: &obj.Status.LastHandledReconcileAt,
		}
	},
}

// retryToken is how soon a Secret that is not there is looked for again. It is
// watched, too; this is the safety net.
const retryToken = time.Minute

// retryMissing is how soon the objects of spec.resources that were not there are looked
// for again: they are often applied together with their Receiver, and not watched.
const retryMissing = time.Minute

// resourceNotFoundReason is that of events about listed objects that do not exist.
const resourceNotFoundReason = "ResourceNotFound"

var errToken = errors.New("no token")

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, obj *notificationv1.Receiver) (reconciler.Result, error) {
	if err := r.checks.check(obj); err != nil {
		obj.Status.WebhookPath = ""
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	if err := r.expensive.errorOf(obj); err != nil {
		return reconciler.Result{}, reconcile.TerminalError(fmt.Errorf("requests are refused until the expression is changed: %w", err))
	}
	token, err := r.token(ctx, obj)
	if err != nil {
		obj.Status.WebhookPath = ""
		return reconciler.Result{}, err
	}
	obj.Status.WebhookPath = obj.GetWebhookPath(token)
	result := reconciler.Result{Reason: meta.SucceededReason, After: obj.GetInterval()}
	result.Message = "Receiver initialized for path: " + obj.Status.WebhookPath
	for _, remark := range r.remarks(obj) {
		result.Message += "; " + remark
	}
	if missing := r.missing(ctx, obj); missing != "" {
		result.Message += "; " + missing
		result.After = min(result.After, retryMissing)
		if ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition); ready == nil ||
			!strings.HasSuffix(ready.Message, missing) {
			result.Events = []reconciler.Event{{Type: corev1.EventTypeWarning, Reason: resourceNotFoundReason, Message: missing}}
		}
	}
	return result, nil
}

// remarks name what of the spec is without effect. Flux accepts it and serves the
// rest, so that it is told and not refused.
func (r *Reconciler) remarks(obj *notificationv1.Receiver) []string {
	var remarks []string
	if idle := notify.Ineffective(obj); idle != "" {
		remarks = append(remarks, idle)
	}
	for i, resource := range obj.Spec.Resources {
		if r.NoCrossNamespaceRefs && resource.Namespace != "" && resource.Namespace != obj.Namespace {
			remarks = append(remarks, fmt.Sprintf("spec.resources[%d] is not notified: cross-namespace references have been blocked", i))
		}
	}
	return remarks
}

// token reads what the sender knows too. A receiver that trusts tokens of others
// has none, and its path is public.
func (r *Reconciler) token(ctx context.Context, obj *notificationv1.Receiver) (string, error) {
	if obj.Spec.SecretRef == nil {
		return "", nil
	}
	key := client.ObjectKey{Namespace: obj.Namespace, Name: obj.Spec.SecretRef.Name}
	var secret corev1.Secret
	err := r.Secrets.Get(ctx, key, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return "", reconciler.Waiting(fmt.Errorf("%w: unable to read token from secret '%s' error: %w", errToken, key, err), retryToken)
	case err != nil:
		return "", fmt.Errorf("%w: unable to read token from secret '%s' error: %w", errToken, key, err)
	case len(secret.Data["token"]) == 0:
		return "", reconciler.Waiting(fmt.Errorf("%w: invalid '%s' secret data: required field 'token'", errToken, key), retryToken)
	}
	return string(secret.Data["token"]), nil
}

// Reason implements [reconciler.Controller].
func (r *Reconciler) Reason(err error) string {
	switch {
	case errors.Is(err, cel.ErrTooExpensive), errors.Is(err, notify.ErrExpression):
		return meta.InvalidCELExpressionReason
	case errors.Is(err, notify.ErrInvalid):
		return notificationv1.ValidationFailedReason
	case errors.Is(err, errToken):
		return notificationv1.TokenNotFoundReason
	}
	return meta.FailedReason
}
