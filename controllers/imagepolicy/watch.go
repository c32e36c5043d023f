// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// byRepository indexes policies by the repository they refer to.
const byRepository = "spec.imageRepositoryRef"

func indexOf(obj client.Object) []string {
	p, ok := obj.(*imagev1.ImagePolicy)
	if !ok {
		return nil
	}
	return []string{repositoryKey(p).String()}
}

// policiesOf are the policies that refer to a repository.
func (r *Reconciler) policiesOf(ctx context.Context, key types.NamespacedName) []reconcile.Request {
	return reconciler.Requests(ctx, r.Client, &imagev1.ImagePolicyList{}, reconciler.Any[*imagev1.ImagePolicy],
		client.MatchingFields{byRepository: key.String()})
}

// watchRepositories brings policies back when their repository was edited, came
// or went, or when a scan found other tags.
func (r *Reconciler) watchRepositories(b *builder.Builder) *builder.Builder {
	toPolicies := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.policiesOf(ctx, client.ObjectKeyFromObject(obj))
	})
	return b.Watches(&imagev1.ImageRepository{}, toPolicies, builder.WithPredicates(
		predicate.Or(predicate.GenerationChangedPredicate{}, scanned())))
}

// scanned passes updates after which the set of tags, or the reason why there is
// none, is another.
func scanned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: reconciler.Updates(func(before, after *imagev1.ImageRepository) bool {
		return revision(before) != revision(after) || !equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions)
	})}
}

func revision(repo *imagev1.ImageRepository) string {
	if repo.Status.LastScanResult == nil {
		return ""
	}
	return repo.Status.CanonicalImageName + "@" + repo.Status.LastScanResult.Revision
}

// watchNamespaces brings policies back that refer to other namespaces when the
// labels of their own change, which is what spec.accessFrom selects.
func (r *Reconciler) watchNamespaces(b *builder.Builder) *builder.Builder {
	toPolicies := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return reconciler.Requests(ctx, r.Client, &imagev1.ImagePolicyList{}, foreign, client.InNamespace(obj.GetName()))
	})
	return b.Watches(&corev1.Namespace{}, toPolicies, builder.WithPredicates(predicate.LabelChangedPredicate{}))
}

func foreign(p *imagev1.ImagePolicy) bool { return repositoryKey(p).Namespace != p.Namespace }

// watchTags brings policies back when the tags they wait for are in memory, and
// when a look-up is done that took longer than a moment. Neither shows in a status:
// after a restart a scan that finds nothing new changes none.
func (r *Reconciler) watchTags(b *builder.Builder) *builder.Builder {
	return b.WatchesRawSource(r.Store.Arrivals().Map(r.policiesOf)).WatchesRawSource(&r.caches().done)
}

// forget ends what goes on for a policy that is deleted.
func (r *Reconciler) forget(policy types.NamespacedName) {
	r.caches().lookUps.Forget(policy)
	r.caches().matches.Forget(policy)
}
