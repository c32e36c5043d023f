// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
)

// policiesOf says of every policy of the namespace whether the automation writes it, as
// its controller does.
func policiesOf(ctx context.Context, c client.Client, a *imagev1.ImageUpdateAutomation) (writeback.Policies, error) {
	var list imagev1.ImagePolicyList
	if err := c.List(ctx, &list, client.InNamespace(a.Namespace)); err != nil {
		return writeback.Policies{}, fmt.Errorf("listing the image policies of namespace %s: %w", a.Namespace, err)
	}
	known, err := writeback.PoliciesOf(a, list.Items)
	if err != nil {
		return writeback.Policies{}, fmt.Errorf("ImageUpdateAutomation %s/%s: spec.policySelector: %w", a.Namespace, a.Name, err)
	}
	return known, nil
}
