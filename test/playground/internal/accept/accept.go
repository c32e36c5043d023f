// SPDX-License-Identifier: Apache-2.0

// Package accept is the loop of every server of the playground that speaks TCP and
// not HTTP.
package accept

import (
	"context"
	"fmt"
	"net"
)

// Serve hands each connection of l to serve, in a goroutine of its own, until ctx
// ends. It closes l; serve closes the connection.
func Serve(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go serve(ctx, conn)
	}
}
