// SPDX-License-Identifier: Apache-2.0

// Package forward relays TCP connections.
//
// The API server listens on loopback only, where pods of a real node cannot
// reach it. A relay on the pods' bridge can be reached by them, and by nobody
// outside this machine.
package forward

import (
	"context"
	"io"
	"net"
	"sync"
)

// To returns what relays a connection to target.
func To(target string) func(context.Context, net.Conn) {
	return func(ctx context.Context, near net.Conn) { relay(ctx, near, target) }
}

// relay copies both ways until both are done. Half-closed connections stay
// open in the other direction, as TCP means it.
func relay(ctx context.Context, near net.Conn, target string) {
	defer near.Close()
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return // the closed connection is the answer
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { pipe(far, near) })
	both.Go(func() { pipe(near, far) })
	both.Wait()
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // whoever broke the connection knows
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
