// SPDX-License-Identifier: Apache-2.0

// Package gitserver serves a folder of bare Git repositories over HTTP and
// SSH.
//
// The server proper is git itself: http-backend(1), run as a CGI program for
// each request, or upload-pack(1) and receive-pack(1), run for each SSH
// session. Clients meet the real protocol, with shallow fetches, partial
// clones and atomic pushes. This package adds what git leaves to others: basic
// authentication or a key (nobody gets in without, neither to read nor to
// write), and a length for HTTP request bodies that have none.
//
// A repository that appears in the folder is served at once; nothing has to be
// registered or configured in it.
package gitserver

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Server serves the bare repositories below Root.
type Server struct {
	Root               string
	Username, Password string
	Log                *log.Logger

	backend string
}

// settings that a hosting service would have; given in the environment, so
// that they hold for repositories made with a plain "git init --bare".
var settings = [][2]string{
	{"http.receivepack", "true"},
	{"uploadpack.allowFilter", "true"},
	{"uploadpack.allowAnySHA1InWant", "true"},
	{"safe.directory", "*"}, // a test may run as another user
	{"gc.auto", "0"},        // no background process may outlive its request
}

// New finds git's http-backend and makes the root folder.
func New(s Server) (*Server, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for git: %w", err)
	}
	s.backend = filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(s.backend); err != nil {
		return nil, fmt.Errorf("this git cannot serve HTTP: %w", err)
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of repositories: %w", err)
	}
	return &s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, password, _ := req.BasicAuth()
	if !same(user, s.Username) || !same(password, s.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="playground"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	if req.URL.Path == "/" { // a person, or up asking whether anybody is home
		fmt.Fprintln(w, "This server has Git repositories. Clone /<name>.git")
		return
	}
	done, err := measure(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer done()
	s.handler().ServeHTTP(w, req)
}

func (s *Server) handler() *cgi.Handler {
	env := []string{
		"GIT_PROJECT_ROOT=" + s.Root,
		"GIT_HTTP_EXPORT_ALL=1",
		"REMOTE_USER=" + s.Username,
	}
	env = append(env, settingsEnv()...)
	return &cgi.Handler{Path: s.backend, Dir: s.Root, Env: env, InheritEnv: []string{"PATH"}, Logger: s.Log, Stderr: s.Log.Writer()}
}

// settingsEnv hands the settings to git, in place of the machine's own.
func settingsEnv() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)),
	}
	for i, setting := range settings {
		env = append(env,
			fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, setting[0]),
			fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, setting[1]))
	}
	return env
}

// measure gives a chunked request a length, by way of a temporary file: CGI
// has no other way to say where a body ends, and git sends every push beyond
// a megabyte in chunks.
func measure(req *http.Request) (done func(), err error) {
	if len(req.TransferEncoding) == 0 {
		return func() {}, nil
	}
	f, err := os.CreateTemp("", "playground-push-")
	if err != nil {
		return nil, fmt.Errorf("buffering request: %w", err)
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	size, err := io.Copy(f, req.Body)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, fmt.Errorf("buffering request: %w", err)
	}
	req.Body, req.ContentLength, req.TransferEncoding = f, size, nil
	return done, nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
