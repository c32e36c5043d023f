// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/app"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/artifact"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/automation"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/canary"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/events"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/image"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/judge"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/kustomization"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/logs"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/pipeline"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/policy"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/resource"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/trace"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/ui"
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
	cmd.AddCommand(app.Command(version), newGet(), newBuild(), newDiff(), newExplain(), resource.TreeCommand(version),
		resource.SuspendCommand(version), resource.ResumeCommand(version), newRelease(), resource.ReconcileCommand(version),
		newCreate(), canary.Command(version), pipeline.Command(version), judge.Command(version),
		events.Command(version), logs.Command(version), trace.Command(version),
		artifact.PushCommand(version), artifact.PullCommand(version), artifact.TagCommand(version), artifact.ListCommand(version),
		ui.Command(version), update.Command(), newVersion())
	return cmd
}

// showHelp is what a command does that only has others below it. Without it cobra
// would take the name of one that does not exist for a call for help.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func newGet() *cobra.Command {
	return group("get", "List what kubectl cannot show in one table", append(resource.GetCommands(),
		getImages, automation.GetCommand, canary.GetCommand, pipeline.GetCommand, pipeline.GetFreezesCommand)...)
}

// getImages takes the forms of Flux's CLI as well: sluice get image policy.
func getImages(c *cluster.Cluster) *cobra.Command {
	cmd := image.GetCommand(c)
	for _, command := range resource.GetImageCommands() {
		of := command(c)
		of.Hidden = true // sluice get shows it
		cmd.AddCommand(of)
	}
	return cmd
}

func newBuild() *cobra.Command {
	return group("build", "Make what would be applied, or pushed", kustomization.BuildCommand,
		func(*cluster.Cluster) *cobra.Command { return artifact.BuildCommand() })
}

func newDiff() *cobra.Command {
	return group("diff", "Print what would change in the cluster, or in a registry", kustomization.DiffCommand,
		func(*cluster.Cluster) *cobra.Command { return artifact.DiffCommand(version) })
}

func newExplain() *cobra.Command {
	return group("explain", "Say why a tag was chosen, why a marker has no effect and what a stage waits for",
		policy.ExplainCommand, automation.ExplainCommand, pipeline.ExplainCommand)
}

func newRelease() *cobra.Command {
	return group("release", "Let go on what is held because a person has undone it", automation.ReleaseCommand)
}

func newCreate() *cobra.Command {
	return group("create", "Print objects to begin with", pipeline.CreateCommand)
}

// group is a command that only has others below it, which all talk to one cluster.
func group(use, short string, commands ...func(*cluster.Cluster) *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: usage.Subcommand, RunE: showHelp}
	c := cluster.AddFlags(cmd, version)
	for _, command := range commands {
		cmd.AddCommand(command(c))
	}
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
