// SPDX-License-Identifier: Apache-2.0

// Command playground starts and ends a playground: a real Kubernetes control
// plane, an image registry, a Git server and Prometheus on this machine, for
// tests, the demo and benchmarks. See the README beside this file.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/test/playground/internal/playground"
	"github.com/sluice-cd/sluice/test/playground/internal/program"
)

// sources are what the programs are built from. They are in the launcher, so
// that it works without its checkout and the cache can tell versions apart.
//
//go:embed go.mod go.sum kube/*.go node/*.go pause/*.go programs/*.mod programs/*.sum
var sources embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "playground:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "playground",
		Short:         "A real control plane, registry, Git server and Prometheus to run Sluice against",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newUp(), newDown(), newBuild(), newServe())
	return root
}

func newUp() *cobra.Command {
	var dir, node string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the playground, or what died of it, and return when all is ready",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, err := playground.ParseNode(node)
			if err != nil {
				return err
			}
			p, err := open(dir)
			if err != nil {
				return err
			}
			return p.Up(cmd.Context(), kind)
		},
	}
	dirFlag(cmd, &dir)
	nodeFlag(cmd, &node)
	return cmd
}

func newDown() *cobra.Command {
	var dir string
	var keep bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the playground and remove its folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := open(dir)
			if err != nil {
				return err
			}
			data := playground.Remove
			if keep {
				data = playground.Keep
			}
			return p.Down(cmd.Context(), data)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&keep, "keep-data", false, "keep the folder, for another up")
	return cmd
}

func newBuild() *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the programs that up needs, unless they are in the cache",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, err := playground.ParseNode(node)
			if err != nil {
				return err
			}
			p, err := open(".")
			if err != nil {
				return err
			}
			return p.Build(cmd.Context(), kind)
		},
	}
	nodeFlag(cmd, &node)
	return cmd
}

func open(dir string) (*playground.Playground, error) {
	cacheDir, err := program.DefaultDir()
	if err != nil {
		return nil, err
	}
	progress := playground.NewProgress(os.Stderr)
	cache := &program.Cache{Dir: cacheDir, Source: sources, Progress: progress}
	return playground.New(dir, cache, progress)
}

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", ".playground", "folder of the playground")
}

func nodeFlag(cmd *cobra.Command, node *string) {
	cmd.Flags().StringVar(node, "node", string(playground.Simulated), "simulated, real (Linux, as root) or none")
}
