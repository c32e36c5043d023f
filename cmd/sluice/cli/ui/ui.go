// SPDX-License-Identifier: Apache-2.0

// Package ui is `sluice ui`: it serves the web page on this machine, with the rights of the user's kubeconfig, and opens it in
// a browser. The page itself, and what the controller serves of it, are package ui at the root.
package ui

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/ui"
)

// command is `sluice ui`.
type command struct {
	cluster *cluster.Cluster
	version string
	port    uint16
}

// Command is `sluice ui`.
func Command(version string) *cobra.Command {
	v := &command{version: version}
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show every application on its way from image to live, in a browser",
		Long: `Show every application on its way from image to live, in a browser.

The page is served on this machine alone, and reads the cluster with your kubeconfig: it
shows what you may list, in all namespaces or in the one of -n. The address that is
printed signs your browser in; nobody else on this machine can use the page without it.
It is served until you interrupt the command.`,
		Example: `  sluice ui
  sluice ui -n apps --port 8080`,
		Args: cobra.NoArgs,
		RunE: v.run,
	}
	v.cluster = cluster.AddFlags(cmd, version)
	cmd.Flags().Uint16Var(&v.port, "port", 0, "port to listen on; 0 takes a free one")
	return cmd
}

func (v *command) run(cmd *cobra.Command, _ []string) error {
	config, err := v.cluster.Config()
	if err != nil {
		return err
	}
	c, err := v.cluster.Client()
	if err != nil {
		return err
	}
	user, err := cluster.Username(cmd.Context(), c)
	if err != nil {
		return err
	}
	namespace := ""
	if cmd.Flags().Changed("namespace") {
		if namespace, err = v.cluster.Namespace(); err != nil {
			return err
		}
	}
	shown, err := ui.NewCluster(config, namespace, user)
	if err != nil {
		return err
	}
	shown.Name = v.cluster.Context()
	logger := logr.FromSlogHandler(slog.NewTextHandler(cmd.ErrOrStderr(), nil)).WithName("ui")
	ctrl.SetLogger(logger) // or controller-runtime complains, with a stack
	token := rand.Text()
	server, err := ui.NewServer(ui.Options{
		Cluster: shown, Token: token, Version: v.version, Clock: clock.RealClock{}, Log: logger,
	})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(v.port))))
	if err != nil {
		return fmt.Errorf("--port: %w", err)
	}
	output.Note(cmd, "reading the cluster as %s; interrupt to end", user)
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), ui.LoginURL(listener.Addr(), token)); err != nil {
		return errors.Join(err, listener.Close())
	}
	return serve(cmd.Context(), server, listener)
}

// serve runs a server until ctx ends, or the cluster cannot be read.
func serve(ctx context.Context, server *ui.Server, listener net.Listener) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return server.Serve(ctx, listener) })
	both.Go(func() error { return server.Run(ctx) })
	return both.Wait()
}
