// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// ownPushBranch fails while another automation pushes to the branch that this one proposes: each
// would take the other's commits for those of a person, or make the branch anew without them. Of
// two that propose it, the older one does.
func (r *Reconciler) ownPushBranch(ctx context.Context, a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository, at branches) error {
	if pullRequestOf(a) == nil {
		return nil
	}
	var all imagev1.ImageUpdateAutomationList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing automations: %w", err)
	}
	for i := range all.Items {
		other := &all.Items[i]
		if client.ObjectKeyFromObject(other) == client.ObjectKeyFromObject(a) || other.Spec.Suspend || other.Spec.GitSpec == nil ||
			pullRequestOf(other) != nil && !isOlder(other, a) || !r.pushesTo(ctx, other, repo, at.push) {
			continue
		}
		return reconciler.Waiting(reconciler.WithReason(imagev1.InvalidSpecReason, fmt.Errorf(
			"spec.git.push.branch: ImageUpdateAutomation %s/%s pushes to branch '%s' of the same repository, too: set another one, "+
				"or suspend or delete one of them", other.Namespace, other.Name, at.push)), a.Spec.Interval.Duration)
	}
	return nil
}

// pushesTo reports whether an automation pushes to a branch of a repository, through whichever
// object.
func (r *Reconciler) pushesTo(ctx context.Context, a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository, branch string) bool {
	var its sourcev1.GitRepository
	if err := r.Client.Get(ctx, sourceKey(a), &its); err != nil || !git.SameRepository(its.Spec.URL, repo.Spec.URL) {
		return false // its own run says what is wrong
	}
	at, err := branchesOf(a, &its)
	return err == nil && (at.push == branch || at.refspec.Target == refOf(branch))
}

// isOlder reports whether another automation was there before this one.
func isOlder(other, a *imagev1.ImageUpdateAutomation) bool {
	if !other.CreationTimestamp.Equal(&a.CreationTimestamp) {
		return other.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return client.ObjectKeyFromObject(other).String() < client.ObjectKeyFromObject(a).String()
}
