// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Finalize implements reconciler.Finalizer: it deletes what a deleted
// Kustomization applied, if its deletion policy says so.
func (r *Reconciler) Finalize(ctx context.Context, k *kustomizev1.Kustomization) error {
	entries, malformed := entriesOf(k)
	if deletes(k) && len(entries)+len(malformed) > 0 {
		if err := r.deleteObjects(ctx, k, entries, malformed); err != nil {
			return reconciler.WithReason(meta.PruneFailedReason, r.states.of(keyOf(k)).mask.Error(err))
		}
	}
	r.states.forget(ctx, keyOf(k))
	r.builds.Forget(keyOf(k))
	return nil
}

// deletes reports whether k's objects go with it. A suspended Kustomization
// touches nothing.
func deletes(k *kustomizev1.Kustomization) bool {
	if k.Spec.Suspend {
		return false
	}
	switch k.GetDeletionPolicy() {
	case kustomizev1.DeletionPolicyMirrorPrune:
		return k.Spec.Prune
	case kustomizev1.DeletionPolicyDelete, kustomizev1.DeletionPolicyWaitForTermination:
		return true
	}
	return false
}

// deleteObjects deletes the objects. When the service account that applied them is gone
// they stay: nobody else may delete them in its name.
func (r *Reconciler) deleteObjects(ctx context.Context, k *kustomizev1.Kustomization, entries []inventory.Entry, malformed []string) error {
	as := r.identity(k)
	ok, err := r.exists(ctx, as)
	if err != nil {
		return err
	}
	if !ok {
		var subjects []string
		for _, e := range entries {
			subjects = append(subjects, e.Subject())
		}
		r.tell(k, corev1.EventTypeWarning, fmt.Sprintf("unable to prune, service account %s/%s is gone:\n%s",
			as.Namespace, as.ServiceAccount, strings.Join(subjects, "\n")))
		return nil
	}
	known := r.states.of(keyOf(k))
	if known.termination == nil {
		if len(malformed) > 0 {
			r.tell(k, corev1.EventTypeWarning, describeMalformed(malformed))
		}
		changes, _, err := known.objects.Prune(ctx, as, entries)
		if pruned := apply.Log(changes); pruned != "" {
			r.tell(k, corev1.EventTypeNormal, pruned)
		}
		if skipped := apply.NotPruned(changes); skipped != "" {
			r.tell(k, corev1.EventTypeNormal, skipped)
		}
		if err != nil {
			return err
		}
		known.termination = &termination{since: r.clock.Now(), deleted: changes}
	}
	if k.GetDeletionPolicy() != kustomizev1.DeletionPolicyWaitForTermination {
		return nil
	}
	return r.awaitTermination(ctx, k, known)
}

// awaitTermination returns an error as long as what was deleted is still there, until
// the timeout is over. No worker is held: informers tell when the last of it is gone.
func (r *Reconciler) awaitTermination(ctx context.Context, k *kustomizev1.Kustomization, known *state) error {
	wait := known.termination
	left, err := known.objects.Remaining(ctx, r.identity(k), wait.deleted)
	over := r.clock.Since(wait.since) >= k.GetTimeout()
	switch {
	case err == nil && len(left) == 0:
		return nil
	case err != nil && !over:
		return reconciler.Pending(err, decide.UnwatchedInterval)
	case over:
		why := fmt.Sprintf("failed to wait for resources termination: timeout waiting for: [%s]", strings.Join(left, ", "))
		if err != nil {
			why = "failed to wait for resources termination: " + err.Error()
		}
		log.FromContext(ctx).Error(err, "waiting for the termination of pruned objects", "left", left)
		r.tell(k, corev1.EventTypeWarning, why)
		return nil
	}
	message := "waiting for the termination of " + strings.Join(left, ", ")
	if !wait.announced {
		wait.announced = true
		r.tell(k, corev1.EventTypeNormal, message)
	}
	return reconciler.Pending(errors.New(message), decide.UnwatchedInterval)
}

// exists reports whether an identity can still be assumed.
func (r *Reconciler) exists(ctx context.Context, as apply.Identity) (bool, error) {
	if as == (apply.Identity{}) {
		return true, nil
	}
	var account corev1.ServiceAccount
	err := r.live.Get(ctx, types.NamespacedName{Namespace: as.Namespace, Name: as.ServiceAccount}, &account)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// tell emits an event at once: a finalized object has no result to carry it.
func (r *Reconciler) tell(k *kustomizev1.Kustomization, kind, message string) {
	r.recorder.Event(k, reconciler.Event{
		Type: kind, Reason: meta.ProgressingReason, Message: message, Metadata: revisionOf(k.Status.LastAppliedRevision, k.Status.LastAppliedOriginRevision),
	})
}
