package main

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func canaryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "canary",
		Aliases: []string{"canaries"},
		Short:   "See where releases stand, and decide about them",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	cluster := addKube(cmd)
	cmd.AddCommand(canaryGetCommand(cluster), canaryDescribeCommand(cluster), canaryWatchCommand(cluster))
	for _, verb := range flaggerv1.CommandVerbs {
		cmd.AddCommand(canaryVerbCommand(cluster, verb))
	}
	return cmd
}

func canaries() client.ObjectList { return &flaggerv1.CanaryList{} }

// invocation is a command line of this program for a Canary, as people type it.
func invocation(cmd *cobra.Command, c *flaggerv1.Canary, verb string) string {
	return cmd.Root().CommandPath() + " canary " + verb + " " + c.Name + " -n " + c.Namespace
}
