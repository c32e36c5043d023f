package main

import "github.com/spf13/cobra"

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a tag was chosen and why a marker has no effect",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cluster := addKube(cmd)
	cmd.AddCommand(explainPolicyCommand(cluster), explainAutomationCommand(cluster))
	return cmd
}
