// Package forward relays TCP connections.
//
// The API server listens on loopback only, where pods of a real node cannot
// reach it. A relay on the pods' bridge can be reached by them, and by nobody
// outside this machine.
package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Serve accepts connections on listen and relays each to target, until ctx
// ends.
func Serve(ctx context.Context, listen, target string) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go relay(ctx, conn, target)
	}
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
