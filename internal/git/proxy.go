package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// dialer connects to an SSH server, through a proxy if there is one.
func dialer(auth Auth) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		var direct net.Dialer
		if auth.Proxy == "" {
			return direct.DialContext(ctx, "tcp", address)
		}
		via, err := auth.proxy()
		if err != nil {
			return nil, err
		}
		if via.Scheme != "socks5" {
			trust, err := auth.tls()
			if err != nil {
				return nil, err
			}
			return tunnel(ctx, via, address, trust)
		}
		socks, err := proxy.FromURL(via, &direct)
		if err != nil {
			return nil, errors.New("the proxy cannot be used")
		}
		return socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	}
}

// tunnel asks an HTTP proxy for a connection by CONNECT (RFC 9110, section
// 9.3.6). Trust is what the certificate of an https proxy is checked against, and
// may be nil; HTTP treats its proxies alike.
func tunnel(ctx context.Context, via *url.URL, address string, trust *tls.Config) (conn net.Conn, err error) {
	host := via.Host
	if via.Port() == "" {
		host = net.JoinHostPort(via.Hostname(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
	}
	if via.Scheme == "https" {
		if trust == nil {
			trust = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		conn, err = (&tls.Dialer{Config: trust}).DialContext(ctx, "tcp", host)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", host)
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
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, req)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking the proxy: %w", err), conn.Close())
	}
	_ = resp.Body.Close() // of a CONNECT it is empty
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the proxy refuses to connect: %s", resp.Status), conn.Close())
	}
	return &tunnelled{Conn: conn, from: answer}, nil
}

// tunnelled reads first what came with the proxy's answer.
type tunnelled struct {
	net.Conn
	from *bufio.Reader
}

// Read implements io.Reader.
func (t *tunnelled) Read(p []byte) (int, error) { return t.from.Read(p) }
