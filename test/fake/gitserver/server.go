// SPDX-License-Identifier: Apache-2.0

// Package gitserver is a real Git server for tests: git's own upload-pack and receive-pack
// on a loopback port, with basic auth and a place to inject faults.
//
//	server := gitserver.New(t, gitserver.WithBasicAuth("user", "secret"))
//	repo := server.Repo("app")
//	head := repo.Commit("main", gitserver.Files{"a.yaml": "x: 1\n"})
//	server.Intercept(func(next http.Handler) http.Handler { ... })
//
// Repositories are bare directories below Root, made with the git command, and
// accept smart HTTP fetches and pushes. Each server has its own directory and
// port, and is gone when the test ends.
package gitserver

import (
	"crypto/subtle"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Server serves the bare repositories below Root at URL.
type Server struct {
	// URL is the base address, without a trailing slash.
	URL string
	// Root is the directory that holds the repositories.
	Root string
	// CA is the PEM certificate to trust, for a server made WithTLS.
	CA []byte
	// Cert and Key are a PEM client certificate that a server made
	// WithClientCertificates lets in.
	Cert, Key []byte

	tb       testing.TB
	handler  atomic.Pointer[http.Handler]
	requests atomic.Int64
}

// Option changes how a server behaves.
type Option func(*config)

type config struct {
	user, password, token string
	tls, mutual, backend  bool
}

// WithBasicAuth makes the server ask for this user and password.
func WithBasicAuth(user, password string) Option {
	return func(c *config) { c.user, c.password = user, password }
}

// WithBearerToken makes the server ask for this token.
func WithBearerToken(token string) Option {
	return func(c *config) { c.token = token }
}

// WithTLS serves HTTPS with a certificate that only [Server.CA] vouches for.
func WithTLS() Option {
	return func(c *config) { c.tls = true }
}

// WithClientCertificates serves HTTPS to those who show [Server.Cert].
func WithClientCertificates() Option {
	return func(c *config) { c.tls, c.mutual = true, true }
}

// WithBackend serves by `git http-backend`, so that HTTP is Git's, too.
func WithBackend() Option {
	return func(c *config) { c.backend = true }
}

// New starts a server that stops when the test ends.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	s := &Server{Root: tb.TempDir(), tb: tb}
	handler := direct(s.Root)
	if c.backend {
		handler = backend(s.Root)
	}
	handler = c.guard(handler)
	s.handler.Store(&handler)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	if c.mutual {
		front.TLS = s.mutual()
	}
	if c.tls {
		front.StartTLS()
		s.CA = certificatePEM(front)
	} else {
		front.Start()
	}
	s.URL = front.URL
	tb.Cleanup(front.Close)
	return s
}

// backend serves the bare repositories below root by `git http-backend`, for all who ask.
func backend(root string) http.Handler {
	git, err := exec.LookPath("git")
	if err != nil {
		return http.NotFoundHandler()
	}
	return &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=git",
			"GIT_CONFIG_NOSYSTEM=1", "HOME=" + os.DevNull,
		},
		InheritEnv: []string{"PATH"},
		Stderr:     discard{},
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// guard lets only requests with the configured credentials through.
func (c config) guard(next http.Handler) http.Handler {
	if c.user == "" && c.token == "" {
		return next
	}
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, basic := r.BasicAuth()
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case c.user != "" && basic && same(user, c.user) && same(password, c.password),
			c.token != "" && bearer && same(token, c.token):
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no entry", http.StatusUnauthorized)
		}
	})
}

// Intercept wraps the handler, outside of what wrapped it before; the returned
// function takes the wrapping off again.
func (s *Server) Intercept(wrap func(next http.Handler) http.Handler) (undo func()) {
	before := s.handler.Load()
	wrapped := wrap(*before)
	s.handler.Store(&wrapped)
	return func() { s.handler.Store(before) }
}

// Requests counts the HTTP requests so far.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Repo returns the repository of the given name, made bare and empty if it is
// not there.
func (s *Server) Repo(name string) *Repo {
	s.tb.Helper()
	r := &Repo{URL: s.URL + "/" + name + ".git", Dir: filepath.Join(s.Root, name+".git"), tb: s.tb}
	if _, err := os.Stat(r.Dir); err == nil {
		return r
	}
	if err := create(r.Dir); err != nil {
		s.tb.Fatal(err)
	}
	return r
}
