// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// await waits until the controller has carried a command out, and prints what
// became of it.
func (v *commandOptions) await(cmd *cobra.Command, c client.WithWatch, target *flaggerv1.Canary, command flaggerv1.CanaryCommand) error {
	key := client.ObjectKeyFromObject(target)
	return follow.Await(cmd, c, newList, target, follow.Wait[*flaggerv1.Canary]{
		What:  fmt.Sprintf("waiting for the controller to %s %s", v.name, key),
		Limit: v.timeout,
		Timeout: fmt.Errorf("the controller has not carried it out within %s: is one running? The command stays "+
			"in the annotation %s of Canary %s",
			shorten.Duration(v.timeout), flaggerv1.CommandAnnotation, key),
		Until: func(now *flaggerv1.Canary) (bool, error) {
			text, err := outcome(now, command)
			if err != nil || text == "" {
				return false, err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", key, text)
			return true, nil
		},
	})
}

// outcome is what became of a command, empty before it was carried out. The error
// says that it was refused, or that it never will be carried out.
func outcome(c *flaggerv1.Canary, command flaggerv1.CanaryCommand) (string, error) {
	last := c.Status.LastCommand
	if last == nil || !last.Same(command) {
		if value := c.Annotations[flaggerv1.CommandAnnotation]; value != command.String() {
			return "", fmt.Errorf("the command was replaced before it was carried out, by: %s", output.Clean(value))
		}
		return "", nil
	}
	text := output.Clean(cmp.Or(last.Outcome, "carried out"))
	if why, refused := strings.CutPrefix(text, flaggerv1.OutcomeRefused); refused {
		return "", fmt.Errorf("the controller refuses to %s %s/%s: %s", last.Verb, c.Namespace, c.Name, why)
	}
	return text, nil
}
