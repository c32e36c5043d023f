// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"cmp"
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
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

// sourceKey names the GitRepository of an automation.
func sourceKey(a *imagev1.ImageUpdateAutomation) client.ObjectKey {
	return client.ObjectKey{Namespace: cmp.Or(a.Spec.SourceRef.Namespace, a.Namespace), Name: a.Spec.SourceRef.Name}
}

// ownersOf are the stages of pipelines that write markers of the automation's policies, as
// its controller sees them. It says so if they cannot be read: the rest can be told.
func ownersOf(cmd *cobra.Command, c client.Client, a *imagev1.ImageUpdateAutomation) writeback.Owners {
	var repo sourcev1.GitRepository
	err := cluster.Get(cmd.Context(), c, sourceKey(a), &repo)
	var owners writeback.Owners
	if err == nil {
		owners, err = writeback.OwnersFor(cmd.Context(), c, a, &repo)
	}
	if err != nil && !cluster.IsUnserved(err) {
		output.Note(cmd, "which markers are left to Pipelines is not known: %v", err)
	}
	return owners
}
