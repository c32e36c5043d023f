package gitserver

import (
	"encoding/base64"
	"io"
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
	// URL is its address, with the user and password it asks for, if any.
	URL string

	requests atomic.Int64
}

// NewProxy starts a proxy that stops when the test ends. With a user it refuses
// all who do not know the password.
func NewProxy(tb testing.TB, user, password string) *Proxy {
	tb.Helper()
	p := &Proxy{}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}))
	tb.Cleanup(server.Close)
	p.URL = server.URL
	return p
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
