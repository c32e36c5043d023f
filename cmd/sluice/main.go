// Command sluice watches container registries, chooses tags by policy, commits
// the bump to Git, drives the apply that follows and lets a release through
// only after canary analysis.
//
//	sluice controller     run the controllers
//	sluice version        print the version
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is stamped by the linker.
var version = "dev"

func main() {
	if err := root().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "sluice:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "sluice",
		Short:         "Image automation, GitOps apply and canary analysis in one binary",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(controllerCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
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
