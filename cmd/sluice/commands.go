// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/app"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/automation"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/canary"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/image"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/policy"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/update"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// newRoot makes the command tree. The name is how usage lines call the program.
func newRoot(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "sluice",
		Short:         "Image automation, GitOps apply and canary analysis in one binary",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Args:          usage.Subcommand,
		RunE:          showHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(app.Command(version), newGet(), newExplain(), newResume(), canary.Command(version), update.Command(), newVersion())
	return cmd
}

// showHelp is what a command does that only has others below it. Without it cobra
// would take the name of one that does not exist for a call for help.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func newGet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List what kubectl cannot show in one table",
		Args:  usage.Subcommand,
		RunE:  showHelp,
	}
	c := cluster.AddFlags(cmd, version)
	cmd.AddCommand(image.GetCommand(c), automation.GetCommand(c), canary.GetCommand(c))
	return cmd
}

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a tag was chosen and why a marker has no effect",
		Args:  usage.Subcommand,
		RunE:  showHelp,
	}
	c := cluster.AddFlags(cmd, version)
	cmd.AddCommand(policy.ExplainCommand(c), automation.ExplainCommand(c))
	return cmd
}

func newResume() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Let go on what was held",
		Args:  usage.Subcommand,
		RunE:  showHelp,
	}
	c := cluster.AddFlags(cmd, version)
	cmd.AddCommand(automation.ResumeCommand(c))
	return cmd
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
