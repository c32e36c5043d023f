// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync/atomic"
	"testing"
)

// Proxy is a forward proxy: CONNECT for what is encrypted, and requests by
// absolute URL for what is not.
type Proxy struct {
	// URL is its address, without the user and password it asks for.
	URL string
	// CA is what signed the certificate of a proxy that is reached over TLS.
	CA []byte

	requests atomic.Int64
}

// NewProxy starts a proxy that stops when the test ends. With a user it refuses
// all who do not know the password.
func NewProxy(tb testing.TB, user, password string) *Proxy {
	tb.Helper()
	p := &Proxy{}
	server := httptest.NewServer(p.handler(user, password))
	tb.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// NewTLSProxy is NewProxy of a proxy that is itself reached over TLS.
func NewTLSProxy(tb testing.TB, user, password string) *Proxy {
	tb.Helper()
	p := &Proxy{}
	server := httptest.NewUnstartedServer(p.handler(user, password))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	server.StartTLS()
	tb.Cleanup(server.Close)
	p.URL = server.URL
	p.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return p
}

func (p *Proxy) handler(user, password string) http.Handler {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case user != "" && r.Header.Get("Proxy-Authorization") != want:
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
		case r.Method == http.MethodConnect:
			p.requests.Add(1)
			tunnel(w, r)
		default:
			p.requests.Add(1)
			forward.ServeHTTP(w, r)
		}
	})
}

// Requests counts what went through so far.
func (p *Proxy) Requests() int { return int(p.requests.Load()) }

// tunnel connects the client to where it wants to go.
func tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = there.Close() }()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = here.Close() }()
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, buffered)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}
