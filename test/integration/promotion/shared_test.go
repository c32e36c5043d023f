// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// environment is a namespace, and the processes that serve it. Scenarios share one, for a
// process takes longer to start than most of them take.
type environment struct {
	p         *harness.Playground
	namespace string
	processes []*harness.Process
}

// shared is what all tests of the package use, and what ends with them.
var shared struct {
	mu  sync.Mutex
	dir string
	end []func()
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "promotion")
	if err != nil {
		panic(err)
	}
	shared.dir = dir
	code := m.Run()
	for _, end := range slices.Backward(shared.end) {
		end()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// afterAll does something when the tests have ended.
func afterAll(do func()) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.end = append(shared.end, do)
}

// sluices serves all but Canaries: those have the phase that a test says, as those of a
// Flagger that runs beside have.
var sluices = sync.OnceValues(func() (*environment, error) {
	w, err := newEnvironment("promotion-shared")
	if err != nil {
		return nil, err
	}
	_, err = w.start("--controllers=image,source,kustomize,promotion", "--feature-gates=ObjectLevelWorkloadIdentity=true")
	return w, err
})

// fluxes has Flux's own controllers downstream, unmodified.
var fluxes = sync.OnceValues(func() (*environment, error) {
	w, err := newEnvironment("promotion-flux")
	if err != nil {
		return nil, err
	}
	remove, err := w.p.InstallFlux(context.Background(), "source-controller", "kustomize-controller")
	if err != nil {
		return nil, err
	}
	afterAll(func() { remove(context.Background()) })
	for _, name := range []string{"source-controller", "kustomize-controller"} {
		dir := filepath.Join(shared.dir, w.namespace+"-"+name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		process, err := w.p.StartFlux(context.Background(), name, w.namespace, dir)
		if err != nil {
			return nil, err
		}
		w.keep(process)
	}
	_, err = w.start("--controllers=image,promotion")
	return w, err
})

// newEnvironment is one whose namespace nobody serves yet.
func newEnvironment(prefix string) (*environment, error) {
	p, err := harness.FromEnv()
	if err != nil {
		return nil, err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	if err := p.Client.Create(context.Background(), ns); err != nil {
		return nil, err
	}
	afterAll(func() { _ = p.Client.Delete(context.Background(), ns) })
	return &environment{p: p, namespace: ns.Name}, nil
}

// start starts a controller that serves the namespace.
func (w *environment) start(args ...string) (*harness.Controller, error) {
	dir, err := os.MkdirTemp(shared.dir, "sluice")
	if err != nil {
		return nil, err
	}
	sluice, err := w.p.StartController(context.Background(), dir, append([]string{"--watch-namespace", w.namespace}, args...)...)
	if sluice != nil {
		w.keep(sluice.Process)
	}
	return sluice, err
}

func (w *environment) keep(process *harness.Process) {
	w.processes = append(w.processes, process)
	afterAll(process.Stop)
}

// tell logs the ends of the logs of all processes.
func (w *environment) tell(t *testing.T) {
	for _, process := range w.processes {
		t.Logf("%s:\n%s", process.Log(), process.Tail(6000))
	}
}

// forgeServer is a real forge with people: alice may write to what she is invited to, and
// mallory may read it.
type forgeServer struct {
	*gitea.Server
	alice, mallory *gitea.Person
}

// giteas is the forge that all scenarios of pull requests share.
var giteas = sync.OnceValues(func() (*forgeServer, error) {
	ctx, dir := context.Background(), filepath.Join(shared.dir, "forge")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	server, err := gitea.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	afterAll(server.Stop)
	s := &forgeServer{Server: server}
	var first, second error
	s.alice, first = server.NewPerson(ctx, "alice")
	s.mallory, second = server.NewPerson(ctx, "mallory")
	if err := errors.Join(first, second, server.Admin.NewOrganization(ctx, organization)); err != nil {
		return nil, fmt.Errorf("the people of the forge: %w", err)
	}
	return s, nil
})

const organization = "acme"
