// SPDX-License-Identifier: Apache-2.0

// Package pipeline shows where Pipelines and Freezes stand, gives stages commands, and
// writes Pipelines for those who begin with them.
//
// A command is an annotation, `<verb>.sluice.dev/<stage>`, which the API server lets only
// those write who may give it (ValidatingAdmissionPolicy), and which the controller carries
// out and answers in the status; nothing here writes a status, a repository or a pull
// request.
package pipeline

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// Command is `sluice pipeline` of a program of the given version.
func Command(version string) *cobra.Command {
	var clk clock.RealClock
	cmd := &cobra.Command{
		Use:     "pipeline",
		Aliases: []string{"pipelines", "pl"},
		Short:   "See where pipelines stand, and decide about them",
		Args:    usage.Subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c := cluster.AddFlags(cmd, version)
	cmd.AddCommand(getCommand(c), describeCommand(c, clk), historyCommand(c, clk), watchCommand(c, clk))
	for _, v := range verbs {
		cmd.AddCommand(verbCommand(c, v, clk))
	}
	return cmd
}

func newList() client.ObjectList { return &sluicev1.PipelineList{} }
