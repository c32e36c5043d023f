// SPDX-License-Identifier: Apache-2.0

// Package flagger tells the stories of Flagger's end-to-end suite to Sluice: the
// same objects, the same load tester, the same outcome.
//
//	hey, curl --> users --> requests by the live weights --> a real Prometheus
//	    ^                                                          |
//	    |                                                          v
//	Flagger's load tester, unmodified <-- webhooks -- sluice controller --> routes
//
// Nodes are simulated and of the proxies there are only the CRDs, so that nobody
// could send a request anywhere. The load tester's commands therefore reach a
// stand-in of the same name (standin_test.go), and imaginary users (users_test.go)
// do what it says: they go where the live route objects send them, and are counted
// as the proxy would count them (visits_test.go). What the controller sees of it is
// what it would see in a cluster.
//
// Each test is one story in a namespace of its own; all are told at once. A story
// asserts what Flagger's script looks for with kubectl, and what that script could
// not see: every phase, every weight in the route object, and no failure where the
// script only waits for the end.
package flagger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// testEnv is what all stories share.
type testEnv struct {
	*harness.Playground
	users      *users
	loadtester string // URL
	log        string // of the controller
}

// the is the one of this package, made by TestMain.
var the *testEnv

func TestMain(m *testing.M) {
	if standIn() {
		return
	}
	ctrllog.SetLogger(logr.Discard()) // warnings of the API server about what stories apply
	// Stories wait for intervals, not for processors.
	env.AtOnce(10)
	env.Main(m, setup)
}

func setup(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	work, err := os.MkdirTemp("", "sluice-flagger-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	the = &testEnv{}
	if the.Playground, err = harness.FromEnv(); err != nil {
		return 0, err
	}
	if err := the.install(ctx); err != nil {
		return 0, err
	}
	if the.users, err = newUsers(the.Client); err != nil {
		return 0, err
	}
	served := make(chan error, 1)
	go func() { served <- the.users.serve(ctx, the.PrometheusTargets) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-served)
	}()
	stop, err := the.startLoadTester(ctx, work)
	if err != nil {
		return 0, err
	}
	defer stop()
	controller, err := the.StartController(ctx, work, "--controllers=canary", "--canary-min-interval=100ms",
		"--ingress-class=contour", "--include-label-prefix=app.kubernetes.io")
	if err != nil {
		return 0, err
	}
	defer controller.Stop()
	the.log = controller.Log()
	return m.Run(), nil
}

// install applies Sluice's CRDs and those of the proxies.
func (w *testEnv) install(ctx context.Context) error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, "canary", "router", "testdata", "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no CRDs of proxies: %w", err)
	}
	for _, file := range files {
		if err := w.ApplyFile(ctx, file); err != nil {
			return err
		}
	}
	return w.Install(ctx) // which waits for all
}

// startLoadTester runs Flagger's load tester with stand-ins for the programs of
// its image.
func (w *testEnv) startLoadTester(ctx context.Context, work string) (stop func(), err error) {
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "hack", "upstream.sh"), "loadtester")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("building Flagger's load tester: %w", err)
	}
	bin, err := linkStandIns(work)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(work, "loadtester.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(strings.TrimSpace(string(out)), "-port", port)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), usersVariable+"="+w.users.url)
	// What it starts ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
	}
	w.loadtester = "http://127.0.0.1:" + port
	_, err = harness.Eventually(ctx, "the load tester's health", harness.Patience, func(context.Context) (bool, string) {
		resp, err := http.Get(w.loadtester + "/healthz")
		if err != nil {
			return false, err.Error()
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
	return stop, err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
