// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Finalize implements reconciler.Finalizer: it deletes what a deleted Kustomization
// applied, if its deletion policy says so. The decisions are those of [decide.Finalize].
func (r *Reconciler) Finalize(ctx context.Context, k *kustomizev1.Kustomization) error {
	seen, known := r.observeDeletion(k), r.states.of(keyOf(k))
	ctx, cancel := context.WithTimeout(ctx, k.GetTimeout())
	defer cancel()
	if err := r.settleDeletion(ctx, k, seen); err != nil {
		return err
	}
	for {
		decision := decide.Finalize(seen, known.termination, r.clock.Now())
		known.termination = decision.State
		if decision.Action == decide.Done {
			return r.finalized(ctx, k, seen, decision)
		}
		r.performDeletion(ctx, k, decision, &seen)
	}
}

// settleDeletion connects to the cluster where the objects of a deleted Kustomization are, if
// there are any to delete.
func (r *Reconciler) settleDeletion(ctx context.Context, k *kustomizev1.Kustomization, seen decide.Deletion) error {
	if seen.Policy == decide.KeepObjects || len(seen.Inventory) == 0 {
		return nil
	}
	err := r.settle(ctx, r.states.of(keyOf(k)), k)
	if err != nil {
		err = fmt.Errorf("%w; its objects cannot be deleted until then: to leave them where they are, set spec.suspend", err)
	}
	return err
}

// observeDeletion is what can be seen of a deleted Kustomization without looking.
func (r *Reconciler) observeDeletion(k *kustomizev1.Kustomization) decide.Deletion {
	seen := decide.Deletion{Policy: deletionPolicy(k), Timeout: k.GetTimeout()}
	seen.Inventory, seen.Malformed = entriesOf(k)
	if as := r.identity(k); as != (apply.Impersonation{}) {
		seen.Account = as.Namespace + "/" + as.ServiceAccount
	}
	return seen
}

// deletionPolicy is what becomes of k's objects. A suspended Kustomization touches
// nothing.
func deletionPolicy(k *kustomizev1.Kustomization) decide.DeletionPolicy {
	if k.Spec.Suspend {
		return decide.KeepObjects
	}
	switch k.GetDeletionPolicy() {
	case kustomizev1.DeletionPolicyMirrorPrune:
		if k.Spec.Prune {
			return decide.DeleteObjects
		}
	case kustomizev1.DeletionPolicyDelete:
		return decide.DeleteObjects
	case kustomizev1.DeletionPolicyWaitForTermination:
		return decide.AwaitTermination
	}
	return decide.KeepObjects
}

// performDeletion does what was decided, and adds to what was seen what came of it.
func (r *Reconciler) performDeletion(
	ctx context.Context, k *kustomizev1.Kustomization, decision decide.DeletionDecision, seen *decide.Deletion,
) {
	switch decision.Action {
	case decide.CheckAccount:
		exists, err := r.states.of(keyOf(k)).objects.AccountExists(ctx, r.identity(k))
		seen.AccountState, seen.Err = decide.AccountMissing, err
		if exists {
			seen.AccountState = decide.AccountExists
		}
	case decide.PruneAll:
		r.pruneAll(ctx, k, seen)
	case decide.CheckRemaining:
		left, err := r.states.of(keyOf(k)).objects.Remaining(ctx, r.identity(k), decision.State.Deleted)
		seen.Remaining = &decide.Remaining{Left: left, Err: err}
	case decide.Done:
	}
}

// pruneAll deletes all objects of the inventory, and tells of each.
func (r *Reconciler) pruneAll(ctx context.Context, k *kustomizev1.Kustomization, seen *decide.Deletion) {
	if len(seen.Malformed) > 0 {
		r.emit(k, corev1.EventTypeWarning, describeMalformed(seen.Malformed))
	}
	changes, _, err := r.states.of(keyOf(k)).objects.Prune(ctx, r.identity(k), seen.Inventory)
	if pruned := apply.Log(changes); pruned != "" {
		r.emit(k, corev1.EventTypeNormal, pruned)
	}
	if skipped := apply.NotPruned(changes); skipped != "" {
		r.emit(k, corev1.EventTypeNormal, skipped)
	}
	seen.Pruned, seen.Deleted, seen.Err = true, apply.DeletedOf(changes), err
}

// finalized tells how far a deletion came, and forgets the Kustomization when it may go.
func (r *Reconciler) finalized(
	ctx context.Context, k *kustomizev1.Kustomization, seen decide.Deletion, decision decide.DeletionDecision,
) error {
	if decision.Message != "" {
		r.emit(k, decision.EventType, decision.Message)
	}
	if failure := decision.Failure; failure != nil {
		err := failure.Err
		if failure.Retry == decide.RetryPending {
			err = reconciler.Pending(err, failure.After)
		}
		return reconciler.WithReason(failure.Reason, r.states.of(keyOf(k)).mask.Error(err))
	}
	if seen.Remaining != nil && (len(seen.Remaining.Left) > 0 || seen.Remaining.Err != nil) {
		log.FromContext(ctx).Error(seen.Remaining.Err, "waiting for the termination of pruned objects", "left", seen.Remaining.Left)
	}
	r.Forget(ctx, keyOf(k))
	return nil
}

// Forget implements reconciler.Forgetter: a Kustomization whose finalizer somebody took off
// was never finalized.
func (r *Reconciler) Forget(ctx context.Context, key types.NamespacedName) {
	r.states.forget(ctx, key)
	r.builds.Forget(key)
}

// emit sends an event at once: a finalized object has no result to carry it.
func (r *Reconciler) emit(k *kustomizev1.Kustomization, kind, message string) {
	r.recorder.Event(k, reconciler.Event{
		Type: kind, Reason: meta.ProgressingReason, Message: message,
		Metadata: revisionOf(k.Status.LastAppliedRevision, k.Status.LastAppliedOriginRevision),
	})
}
