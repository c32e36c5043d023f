// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// connections is a listener of the other ends of connections that were dialed.
type connections chan net.Conn

func (c connections) Accept() (net.Conn, error) {
	conn, ok := <-c
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (c connections) Close() error {
	close(c)
	return nil
}

func (c connections) Addr() net.Addr { return &net.TCPAddr{} }

// A connection was closed after 90 seconds, so that every look at an interval above that began with
// a handshake.
func TestAConnectionIsKeptBetweenTwoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialed := connections(make(chan net.Conn, 1))
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Hour}
		go func() { _ = server.Serve(dialed) }()
		shared, dials := newClient(t).route(Access{}).shared, 0
		shared.DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			dials++
			dialed <- there
			return here, nil
		}
		look := func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://registry.example.com/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := shared.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		look()
		time.Sleep(10 * time.Minute)
		if look(); dials != 1 {
			t.Errorf("dialed %d times for two looks", dials)
		}
		time.Sleep(idleLife + time.Second)
		if look(); dials != 2 {
			t.Errorf("dialed %d times, want 2: what nobody uses is closed", dials)
		}
		shared.CloseIdleConnections()
		_ = server.Close()
	})
}
