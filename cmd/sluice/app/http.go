// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// httpServer serves artifacts to other controllers and clients, or takes webhooks in.
type httpServer struct {
	listener net.Listener
	handler  http.Handler
}

// Bounds of how long a client may take to say what it wants.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	idleTimeout   = time.Minute
	// maxHeader is the longest header in bytes.
	maxHeader = 64 << 10
)

// NeedLeaderElection says that every replica serves what it has.
func (*httpServer) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *httpServer) Start(ctx context.Context) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
