// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
)

// observePolicies lists what the policies of the namespace chose.
func (r *Reconciler) observePolicies(
	ctx context.Context, a *imagev1.ImageUpdateAutomation,
) (writeback.Policies, imagev1.ObservedPolicies, error) {
	var list imagev1.ImagePolicyList
	if err := r.Client.List(ctx, &list, client.InNamespace(a.Namespace)); err != nil {
		return writeback.Policies{}, nil, fmt.Errorf("listing image policies: %w", err)
	}
	policies, err := writeback.PoliciesOf(a, list.Items)
	if err != nil {
		return writeback.Policies{}, nil, refuse(imagev1.InvalidPolicySelectorReason, "spec.policySelector: %w", err)
	}
	return policies, refsOf(policies), nil
}

// refsOf are the chosen images as the status has them.
func refsOf(policies writeback.Policies) imagev1.ObservedPolicies {
	refs := imagev1.ObservedPolicies{}
	for policy, image := range policies.Chosen {
		refs[policy] = writeback.RefOf(image)
	}
	return refs
}
