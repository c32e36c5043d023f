// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"maps"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

// sourceKey names the GitRepository of an automation.
func sourceKey(a *imagev1.ImageUpdateAutomation) types.NamespacedName {
	return access.KeyOf(a.Namespace, a.Spec.SourceRef)
}

// host is the Git server that an automation writes to, and the proxy before it; "" if
// that is not known.
func (r *Reconciler) host(ctx context.Context, a *imagev1.ImageUpdateAutomation) string {
	var repo sourcev1.GitRepository
	if err := r.Client.Get(ctx, sourceKey(a), &repo); err != nil {
		return "" // the run will say so
	}
	return credential.Route(&repo)
}

// automationsOfPolicy are the automations that select a policy.
func (r *Reconciler) automationsOfPolicy(ctx context.Context, obj client.Object) []reconcile.Request {
	policy := obj.(*imagev1.ImagePolicy)
	r.tracker.recordChoice(policy, r.Clock.Now())
	selects := func(a *imagev1.ImageUpdateAutomation) bool {
		selector, err := writeback.SelectorOf(a)
		return err == nil && selector.Matches(labels.Set(policy.Labels))
	}
	return reconciler.Requests(ctx, r.Client, &imagev1.ImageUpdateAutomationList{}, selects, client.InNamespace(policy.Namespace))
}

// automationsOfSource are the automations of a GitRepository, except those that
// have seen its revision already: for the most part, the one that pushed it.
func (r *Reconciler) automationsOfSource(ctx context.Context, obj client.Object) []reconcile.Request {
	repo := obj.(*sourcev1.GitRepository)
	key := client.ObjectKeyFromObject(repo)
	reconciled := repo.Generation == repo.Status.ObservedGeneration && revisionOf(repo) != ""
	return reconciler.Requests(ctx, r.Client, &imagev1.ImageUpdateAutomationList{}, func(a *imagev1.ImageUpdateAutomation) bool {
		return sourceKey(a) == key && (!reconciled || denied(a) || revisionOf(repo) != a.Status.ObservedSourceRevision)
	})
}

// denied reports whether the automation waits for leave to write.
func denied(a *imagev1.ImageUpdateAutomation) bool {
	stalled := apimeta.FindStatusCondition(a.Status.Conditions, meta.StalledCondition)
	return stalled != nil && stalled.Reason == acl.AccessDeniedReason
}

// resumeAsked passes automations whose resume annotation changes.
func resumeAsked() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[imagev1.ResumeAnnotation] != e.ObjectNew.GetAnnotations()[imagev1.ResumeAnnotation]
	}}
}

// policyChanged passes updates that change what a policy contributes: its
// choice, whether the choice counts, or which automations select it.
func policyChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: reconciler.Updates(func(before, after *imagev1.ImagePolicy) bool {
		was, had := writeback.ChosenRef(before)
		is, has := writeback.ChosenRef(after)
		return had != has || was != is || !maps.Equal(before.Labels, after.Labels)
	})}
}

// sourceChanged passes updates of a GitRepository's spec and of who may write, and
// new revisions, which may have brought new markers.
func sourceChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: reconciler.Updates(func(before, after *sourcev1.GitRepository) bool {
			return revisionOf(before) != revisionOf(after) ||
				before.Annotations[imagev1.WriteFromAnnotation] != after.Annotations[imagev1.WriteFromAnnotation]
		}),
	})
}

func revisionOf(repo *sourcev1.GitRepository) string {
	if repo.Status.Artifact == nil {
		return ""
	}
	return repo.Status.Artifact.Revision
}
