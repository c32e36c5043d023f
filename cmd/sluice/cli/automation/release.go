// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// ReleaseCommand is `sluice release automation`.
func ReleaseCommand(c *cluster.Cluster) *cobra.Command {
	return &cobra.Command{
		Use:     "automation NAME",
		Aliases: []string{"imageupdateautomation", "iua"},
		Short:   "Release the updates that an automation holds because a person reverted them",
		Long: `Release the updates that an automation holds because a person reverted them: they
are written again. What is held is in status.held. A newer choice of the policy
releases an update as well. What a person declined by closing its pull request,
which is in status.declined, is proposed again. (sluice resume automation undoes
spec.suspend.)`,
		Example:           `  sluice release automation fleet -n apps`,
		Args:              usage.OneName("sluice get automations"),
		ValidArgsFunction: c.Complete(newList),
		RunE: func(cmd *cobra.Command, args []string) error {
			return release(cmd, c, args[0])
		},
	}
}

// release sets the annotation, to a value that was not used before.
func release(cmd *cobra.Command, in *cluster.Cluster, name string) error {
	c, err := in.Client()
	if err != nil {
		return err
	}
	var a imagev1.ImageUpdateAutomation
	if err := in.Get(cmd.Context(), c, name, &a); err != nil {
		return err
	}
	before := a.DeepCopy()
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	a.Annotations[imagev1.ResumeAnnotation] = time.Now().UTC().Format(time.RFC3339Nano)
	if err := c.Patch(cmd.Context(), &a, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("annotating ImageUpdateAutomation %s/%s: %w", a.Namespace, a.Name, err)
	}
	if len(a.Status.Held)+len(a.Status.Declined) == 0 {
		output.Note(cmd, "ImageUpdateAutomation %s/%s holds nothing", a.Namespace, a.Name)
	}
	for _, held := range a.Status.Held {
		output.Note(cmd, "released %s of policy %s", held.Ref.String(), held.Policy)
	}
	for _, declined := range a.Status.Declined {
		output.Note(cmd, "released what pull request #%d proposed", declined.Number)
	}
	if a.Spec.Suspend {
		output.Note(cmd, "it is suspended: nothing is written before sluice resume automation %s", a.Name)
	}
	return nil
}
