// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"
	"strings"

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
	d := deletion{Kustomization: k, r: r, known: r.states.get(keyOf(k))}
	seen := d.observe()
	ctx, cancel := context.WithTimeout(ctx, k.GetTimeout())
	defer cancel()
	if err := d.connect(ctx, seen); err != nil {
		return err
	}
	for {
		decision := decide.Finalize(seen, d.known.termination, r.clock.Now())
		d.known.termination = decision.State
		if decision.Action == decide.Done {
			return d.finish(ctx, seen, decision)
		}
		d.perform(ctx, decision, &seen)
	}
}

// deletion is that of one Kustomization.
type deletion struct {
	*kustomizev1.Kustomization
	r     *Reconciler
	known *state
}

// connect connects to the cluster where the objects of a deleted Kustomization are, if
// there are any to delete.
func (d deletion) connect(ctx context.Context, seen decide.Deletion) error {
	if seen.Policy == decide.KeepObjects || len(seen.Inventory) == 0 {
		return nil
	}
	err := d.r.ensureCluster(ctx, d.known, d.Kustomization)
	if err != nil {
		err = fmt.Errorf("%w; its objects cannot be deleted until then: to leave them where they are, set spec.suspend", err)
	}
	return err
}

// observe is what can be seen of a deleted Kustomization without looking.
func (d deletion) observe() decide.Deletion {
	seen := decide.Deletion{Policy: deletionPolicy(d.Kustomization), Timeout: d.GetTimeout()}
	seen.Inventory, seen.Malformed = entriesOf(d.Kustomization)
	if as := d.impersonation(); as != (apply.Impersonation{}) {
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

// impersonation is who deletes.
func (d deletion) impersonation() apply.Impersonation { return d.r.identity(d.Kustomization) }

// perform does what was decided, and adds to what was seen what came of it.
func (d deletion) perform(ctx context.Context, decision decide.DeletionDecision, seen *decide.Deletion) {
	switch decision.Action {
	case decide.CheckAccount:
		exists, err := d.known.objects.AccountExists(ctx, d.impersonation())
		seen.AccountState, seen.Err = decide.AccountMissing, err
		if exists {
			seen.AccountState = decide.AccountExists
		}
	case decide.PruneAll:
		d.pruneAll(ctx, seen)
	case decide.CheckRemaining:
		left, err := d.known.objects.Remaining(ctx, d.impersonation(), decision.State.Deleted)
		seen.Remaining = &decide.Remaining{Left: left, Err: err}
	case decide.Done:
	}
}

// pruneAll deletes all objects of the inventory, and tells of each.
func (d deletion) pruneAll(ctx context.Context, seen *decide.Deletion) {
	if len(seen.Malformed) > 0 {
		d.emit(corev1.EventTypeWarning, describeMalformed(seen.Malformed))
	}
	changes, _, err := d.known.objects.Prune(ctx, d.impersonation(), seen.Inventory)
	if pruned := apply.ChangeLines(changes); pruned != "" {
		d.emit(corev1.EventTypeNormal, pruned)
	}
	if skipped := apply.NotPruned(changes); skipped != "" {
		log.FromContext(ctx).Info("not pruned", "objects", strings.Split(skipped, "\n"))
		d.emit(corev1.EventTypeNormal, skipped)
	}
	seen.Pruned, seen.Deleted, seen.Err = true, apply.DeletedOf(changes), err
}

// finish tells how far a deletion came, and forgets the Kustomization when it may go.
func (d deletion) finish(ctx context.Context, seen decide.Deletion, decision decide.DeletionDecision) error {
	if decision.Message != "" {
		d.emit(decision.EventType, decision.Message)
	}
	if failure := decision.Failure; failure != nil {
		err := failure.Err
		if failure.Retry == decide.RetryPending {
			err = reconciler.Pending(err, failure.After)
		}
		return reconciler.WithReason(failure.Reason, d.known.mask.Error(err))
	}
	if seen.Remaining != nil && (len(seen.Remaining.Left) > 0 || seen.Remaining.Err != nil) {
		log.FromContext(ctx).Error(seen.Remaining.Err, "waiting for the termination of pruned objects", "left", seen.Remaining.Left)
	}
	d.r.Forget(ctx, keyOf(d.Kustomization))
	return nil
}

// Forget implements reconciler.Forgetter: a Kustomization whose finalizer somebody took off
// was never finalized.
func (r *Reconciler) Forget(ctx context.Context, key types.NamespacedName) {
	r.states.forget(ctx, key)
	r.builds.Forget(key)
}

// emit sends an event at once: a finalized object has no result to carry it.
func (d deletion) emit(kind, message string) {
	d.r.recorder.Event(d.Kustomization, reconciler.Event{
		Type: kind, Reason: meta.ProgressingReason, Message: message,
		Metadata: revisionOf(d.Status.LastAppliedRevision, d.Status.LastAppliedOriginRevision),
	})
}
