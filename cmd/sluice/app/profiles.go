// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"

	ctrl "sigs.k8s.io/controller-runtime"
)

// addProfiles serves profiles at --pprof-addr. controller-runtime would serve them
// too, and with them the command line, in which there may be tokens.
func addProfiles(mgr ctrl.Manager, address string) error {
	if !listensAt(address) {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--pprof-addr: %w", err)
	}
	return mgr.Add(profileServer{listener})
}

// profileServer serves profiles on every replica. An answer takes as long as the
// profile that was asked for.
type profileServer struct{ listener net.Listener }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (profileServer) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (s profileServer) Start(ctx context.Context) error {
	server := &http.Server{Handler: profiles(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// profiles answers below /debug/pprof/ as net/http/pprof does, except about the
// command line.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
