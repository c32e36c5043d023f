// SPDX-License-Identifier: Apache-2.0

// Package canary shows where releases stand and gives them commands.
//
// A command is an annotation that the controller carries out and answers in the status;
// nothing here writes a status, routes traffic or touches a workload.
package canary

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// Command is `sluice canary` of a program of the given version.
func Command(version string) *cobra.Command {
	var clk clock.RealClock
	cmd := &cobra.Command{
		Use:     "canary",
		Aliases: []string{"canaries"},
		Short:   "See where releases stand, and decide about them",
		Args:    usage.Subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c := cluster.AddFlags(cmd, version)
	cmd.AddCommand(getCommand(c), describeCommand(c, clk), watchCommand(c, clk))
	for _, verb := range flaggerv1.CommandVerbs {
		cmd.AddCommand(verbCommand(c, verb, clk))
	}
	return cmd
}

func newList() client.ObjectList { return &flaggerv1.CanaryList{} }

// commandLine is a command line of this program for a Canary, as people type it.
func commandLine(cmd *cobra.Command, c *flaggerv1.Canary, verb string) string {
	return cmd.Root().CommandPath() + " canary " + verb + " " + c.Name + " -n " + c.Namespace
}
