// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/test/playground/internal/accept"
	"github.com/sluice-cd/sluice/test/playground/internal/forward"
	"github.com/sluice-cd/sluice/test/playground/internal/gitserver"
	"github.com/sluice-cd/sluice/test/playground/internal/registry"
)

// newServe is what up starts in the background; nobody types it.
func newServe() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Run one of the playground's own servers", Hidden: true}
	cmd.AddCommand(newServeRegistry(), newServeGit(), newServeSSH(), newServeForward())
	return cmd
}

func newServeRegistry() *cobra.Command {
	var address, root string
	cmd := &cobra.Command{
		Use:  "registry",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			handler, err := registry.New(root, logger())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), address, handler)
		},
	}
	serveFlags(cmd, &address, &root)
	return cmd
}

func newServeGit() *cobra.Command {
	var address, root, username string
	cmd := &cobra.Command{
		Use:  "git",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			handler, err := gitserver.New(gitserver.Server{
				Root: root, Username: username, Password: os.Getenv("PLAYGROUND_GIT_PASSWORD"), Log: logger(),
			})
			if err != nil {
				return err
			}
			return serve(cmd.Context(), address, handler)
		},
	}
	serveFlags(cmd, &address, &root)
	cmd.Flags().StringVar(&username, "username", "", "who may read and write; the password is in PLAYGROUND_GIT_PASSWORD")
	return cmd
}

func newServeSSH() *cobra.Command {
	var address, root, host, client string
	cmd := &cobra.Command{
		Use:  "git-ssh",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hostKey, err := gitserver.ReadKey(host)
			if err != nil {
				return err
			}
			clientKey, err := gitserver.ReadKey(client)
			if err != nil {
				return err
			}
			s := gitserver.SSH{Root: root, Host: hostKey, Client: clientKey.PublicKey(), Log: logger()}
			return serveTCP(cmd.Context(), address, s.Serve)
		},
	}
	serveFlags(cmd, &address, &root)
	cmd.Flags().StringVar(&host, "host-key", "", "file of the server's private key")
	cmd.Flags().StringVar(&client, "client-key", "", "file of the key of who may read and write")
	return cmd
}

func newServeForward() *cobra.Command {
	var address, target string
	cmd := &cobra.Command{
		Use:  "forward",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveTCP(cmd.Context(), address, forward.To(target))
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "host:port to listen on")
	cmd.Flags().StringVar(&target, "to", "", "host:port to relay connections to")
	return cmd
}

func serveFlags(cmd *cobra.Command, address, root *string) {
	cmd.Flags().StringVar(address, "address", "", "host:port to listen on")
	cmd.Flags().StringVar(root, "root", "", "folder to serve")
}

func logger() *log.Logger { return log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds) }

// serveTCP serves connections until it is told to end.
func serveTCP(ctx context.Context, address string, connection func(context.Context, net.Conn)) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return accept.Serve(ctx, l, connection)
}

// serve answers until it is told to end, and then lets running requests
// finish.
func serve(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending: %w", err)
	}
	return nil
}
