// SPDX-License-Identifier: Apache-2.0

// Package gitea runs a real forge for tests and for the demo: Gitea, unmodified,
// on loopback, with everything it keeps below one folder.
//
//	hack/upstream.sh gitea builds the program, once, into the cache
//	     |
//	Start, Require -> *Server: its address, its administrator, its log
//	                    |
//	    NewPerson, NewOrganization, NewRepo -> *Person, *Repo
//	                    |
//	    what the administrator sets up:    Repo.Protect, Repo.Allow, Repo.AddWebhook
//	    what people do:                    Person.Commit, Open, Approve, Merge, Revert
//	    what a test looks at afterwards:   Repo.File, Repo.Head, Repo.Pull
//
// People act through the API as themselves, with tokens of their own, so that
// branch protection means the same to them as it does in production. The API is
// called directly, and not through a client library, so that a fault of the
// library that Sluice uses cannot hide itself here. See README.md.
package gitea

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/harness"
)

// Server is a running Gitea.
type Server struct {
	*harness.Process
	// URL is the root of its pages, without a slash at the end; the API is below /api/v1.
	URL string
	// Admin administers the whole server.
	Admin *Person
	// KnownHosts is the line of a known_hosts file that names its SSH server.
	KnownHosts string

	bin, config string
	dir         string // of everything that it keeps
	ssh         string // host:port
}

// Require starts a server for a test and stops it when the test ends; if the test
// failed, its last words are logged. Where the program is not built, the test is
// skipped.
func Require(tb testing.TB) *Server {
	tb.Helper()
	s, err := start(tb.Context(), harness.RequireUpstream(tb, "gitea"), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			tb.Logf("the forge's log ends with:\n%s", s.Tail(8000))
		}
	})
	return s
}

// Start starts a server that keeps everything in dir, its log in dir/gitea.log, and
// returns when it answers. The program is built first if it is not, which takes
// minutes. Whoever starts it stops it.
func Start(ctx context.Context, dir string) (*Server, error) {
	bin, err := harness.Upstream(ctx, "gitea")
	if err != nil {
		return nil, err
	}
	return start(ctx, bin, dir)
}

func start(ctx context.Context, bin, dir string) (*Server, error) {
	web, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	ssh, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + web, bin: bin, dir: dir, config: filepath.Join(dir, "app.ini"), ssh: ssh}
	if s.KnownHosts, err = hostKey(ssh, dir); err != nil {
		return nil, err
	}
	if err := s.configure(dir, web); err != nil {
		return nil, err
	}
	if err := errors.Join(addPages(dir), s.addHooks(dir)); err != nil {
		return nil, err
	}
	s.Process = harness.NewProcess(bin, filepath.Join(dir, "gitea.log"), "web", "--config", s.config)
	s.Setenv(frugal...)
	if err := s.Launch(); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.createAdmin(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// ready waits until the server answers, or has exited.
func (s *Server) ready(ctx context.Context) error {
	if err := s.Answers(ctx, s.URL+"/api/healthz", harness.Patience); err != nil {
		return fmt.Errorf("the forge: %w; its log ends with:\n%s", err, s.Tail(2000))
	}
	return nil
}

// adminName is who administers a server; "admin" is a name that Gitea keeps for itself.
const adminName = "keeper"

// createAdmin makes the administrator with the command that is meant for it, which
// writes to the database beside the running server.
func (s *Server) createAdmin(ctx context.Context) error {
	admin := &Person{Name: adminName, Password: password, server: s}
	cmd := exec.CommandContext(ctx, s.bin, "admin", "user", "create", "--config", s.config, "--admin",
		"--username", admin.Name, "--password", admin.Password, "--email", email(admin.Name), "--must-change-password=false",
		"--access-token")
	cmd.Env = environment()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("creating the forge's administrator: %w: %s%s", err, out, &stderr)
	}
	const says = "Access token was successfully created... "
	_, rest, ok := strings.Cut(string(out), says)
	if !ok {
		return fmt.Errorf("creating the forge's administrator: no access token in %q", out)
	}
	admin.Token, _, _ = strings.Cut(rest, "\n")
	s.Admin = admin
	return nil
}

// environment is that of the program: tests may run as root.
func environment() []string {
	return append(append(os.Environ(), frugal...), "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true")
}

// frugal spares processor time: the program starts itself anew twice in each push, as the hooks of the
// repository, and collecting garbage is a third of what such a start takes.
var frugal = []string{"GOGC=off", "GOMEMLIMIT=512MiB"}

// port of an address.
func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
