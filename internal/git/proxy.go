// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// dialer connects to an SSH server, through a proxy if there is one. The guard looks
// at the address of whichever is dialed, and a proxy is not sent to a forbidden one.
func dialer(auth Auth, guard *outbound.Guard) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		if auth.Proxy == "" {
			return guard.DialContext(ctx, "tcp", address)
		}
		if err := guard.CheckProxied(ctx, &url.URL{Host: address}); err != nil {
			return nil, err
		}
		via, err := auth.proxy()
		if err != nil {
			return nil, err
		}
		if via.Scheme == "http" || via.Scheme == "https" {
			trust, err := auth.tls()
			if err != nil {
				return nil, err
			}
			return tunnel(ctx, guard, httpProxy{via, trust}, address)
		}
		socks, err := proxy.FromURL(via, proxyDialer{guard})
		if err != nil {
			return nil, errors.New("the proxy cannot be used")
		}
		return socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	}
}

// proxyDialer is the guard as a proxy's library dials.
type proxyDialer struct{ *outbound.Guard }

// Dial implements proxy.Dialer; DialContext is what is called.
func (proxyDialer) Dial(string, string) (net.Conn, error) {
	return nil, errors.New("a context is needed")
}

// httpProxy is an HTTP proxy and what the certificate of an https one is checked against.
type httpProxy struct {
	*url.URL
	trust *tls.Config // may be nil; HTTP treats its proxies alike
}

// tunnel asks an HTTP proxy for a connection by CONNECT (RFC 9110, section
// 9.3.6). golang.org/x/net/proxy, which is used for SOCKS5, has no HTTP proxies: a
// dialer for them that is registered there would be this same code, in a table of the
// whole process, and without the context, the guard and the certificates of the source.
func tunnel(ctx context.Context, guard *outbound.Guard, via httpProxy, address string) (conn net.Conn, err error) {
	host := via.Host
	if via.Port() == "" {
		host = net.JoinHostPort(via.Hostname(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
	}
	if conn, err = guard.DialContext(ctx, "tcp", host); err == nil && via.Scheme == "https" {
		conn, err = via.encrypt(ctx, conn)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if password, ok := via.User.Password(); ok {
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(via.User.Username(), password)
		req.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("asking the proxy: %w", err), conn.Close())
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	answer := bufio.NewReader(limited)
	resp, err := http.ReadResponse(answer, req)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking the proxy: %w", err), conn.Close())
	}
	_ = resp.Body.Close() // of a CONNECT it is empty
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the proxy refuses to connect: %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
			conn.Close())
	}
	limited.N = math.MaxInt64
	return &bufferedConn{Conn: conn, from: answer}, nil
}

// encrypt shakes hands with an https proxy.
func (p httpProxy) encrypt(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.trust != nil {
		config = p.trust.Clone()
	}
	config.ServerName = p.Hostname()
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return encrypted, nil
}

// maxAnswer bounds what a proxy answers before the tunnel.
const maxAnswer = 64 << 10

// bufferedConn reads first what came with the proxy's answer.
type bufferedConn struct {
	net.Conn
	from *bufio.Reader
}

// Read implements io.Reader.
func (t *bufferedConn) Read(p []byte) (int, error) { return t.from.Read(p) }
