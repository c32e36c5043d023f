package kustomization

import (
	"context"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Finalize implements reconciler.Finalizer: it deletes what a deleted
// Kustomization applied, if its deletion policy says so.
func (r *Reconciler) Finalize(ctx context.Context, k *kustomizev1.Kustomization) error {
	entries, err := entriesOf(k)
	if err != nil {
		return err
	}
	if deletes(k) && len(entries) > 0 {
		if err := r.clear(ctx, k, entries); err != nil {
			return because(meta.PruneFailedReason, err)
		}
	}
	r.engine.Forget(ctx, keyOf(k))
	r.forget(keyOf(k))
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

// clear deletes the objects. When the service account that applied them is gone
// they stay: nobody else may delete them in its name.
func (r *Reconciler) clear(ctx context.Context, k *kustomizev1.Kustomization, entries []inventory.Entry) error {
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
	changes, _, err := r.engine.Prune(ctx, keyOf(k), as, entries)
	if pruned := apply.Log(changes); pruned != "" {
		r.tell(k, corev1.EventTypeNormal, pruned)
	}
	if err != nil || k.GetDeletionPolicy() != kustomizev1.DeletionPolicyWaitForTermination {
		return err
	}
	if err := r.engine.Terminated(ctx, as, changes, k.GetTimeout()); err != nil {
		log.FromContext(ctx).Error(err, "waiting for the termination of pruned objects")
		r.tell(k, corev1.EventTypeWarning, "failed to wait for resources termination: "+err.Error())
	}
	return nil
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
	about := map[string]string{}
	if k.Status.LastAppliedRevision != "" {
		about[kustomizev1.GroupVersion.Group+"/revision"] = k.Status.LastAppliedRevision
	}
	r.recorder.Event(k, reconciler.Event{Type: kind, Reason: meta.ProgressingReason, Message: message, Metadata: about})
}
