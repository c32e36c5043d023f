// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/pkg/apis/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/controllers/gitrepository"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// crowd is how many objects of each kind want something of the silent server.
const crowd = 3 * harness.Workers

// silence is a server that accepts and never answers.
type silence struct {
	net.Listener
	mu   sync.Mutex
	held []net.Conn
}

func listen(t *testing.T) *silence {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silence{Listener: listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.held = append(s.held, conn)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { s.release() })
	return s
}

// at has a source at the server wait for longer than any test does: what happens in time
// did not wait for the server.
func (s *silence) at(path string) func(*sourcev1.GitRepository) {
	return func(r *sourcev1.GitRepository) {
		r.Spec.URL = fmt.Sprintf("http://%s/%s", s.Addr(), path)
		r.Spec.Timeout = &metav1.Duration{Duration: 59 * time.Minute} // the longest that the API takes is told in minutes
	}
}

func (s *silence) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// release ends the silence: whoever waits is refused.
func (s *silence) release() {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.held {
		_ = conn.Close()
	}
}

// sources runs the controller of GitRepositories beside that of automations.
func (f *fixture) sources() {
	f.t.Helper()
	f.run(func(mgr ctrl.Manager, opts reconciler.Options) error {
		return (&gitrepository.Reconciler{
			Mirrors: git.NewMirrors(f.t.TempDir(), clock.RealClock{}), Pushed: &wake.Source{},
			Publisher: source.Publisher{Store: source.NewStore(f.t.TempDir(), "127.0.0.1:1", clock.RealClock{})},
		}).SetupWithManager(f.t.Context(), mgr, opts)
	})
}

// TestASilentGitServerHoldsUpNobodyElse has more sources and automations at a server
// that says nothing than there are workers for either, and one of each at a server
// that works.
func TestASilentGitServerHoldsUpNobodyElse(t *testing.T) {
	f, server := newFixture(t), listen(t)
	for i := range crowd {
		name := fmt.Sprintf("silent-%d", i)
		f.must(f.Client.Create(t.Context(), make.GitRepository(f.ns, name, server.at(fmt.Sprintf("%d.git", i)))))
		f.automation(name, func(a *imagev1.ImageUpdateAutomation) { a.Spec.SourceRef.Name = name })
	}
	f.holds(server, harness.Workers)
	p, a := f.policy("app"), f.automation("auto")
	f.choose(p, "2")
	f.written(a, "a.yaml", "app", "2")
	f.sources()
	f.holds(server, 2*harness.Workers)
	f.hasArtifact(f.git.Name) // the fixture's own source
	var told imagev1.ImageUpdateAutomation
	f.must(f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.ns, Name: "silent-0"}, &told))
	if len(told.Status.Conditions) != 0 {
		t.Errorf("before the server has answered, the status says %+v", told.Status)
	}
	server.release()
	harness.MustBecome(f.t, f.Client, &told, "the silent server's refusal to be told", func() bool {
		ready := apimeta.FindStatusCondition(told.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse
	})
}

// TestASourceGoesWhileItsServerIsSilent deletes one whose finalizer waits for the run.
func TestASourceGoesWhileItsServerIsSilent(t *testing.T) {
	f, server := newFixture(t), listen(t)
	repo := make.GitRepository(f.ns, "silent", server.at("app.git"))
	f.must(f.Client.Create(t.Context(), repo))
	f.sources()
	f.holds(server, 1)
	f.must(f.Client.Delete(t.Context(), repo))
	_, err := harness.Eventually(t.Context(), "the source to be gone", harness.Patience, func(ctx context.Context) (bool, string) {
		err := f.Client.Get(ctx, client.ObjectKeyFromObject(repo), repo)
		return client.IgnoreNotFound(err) == nil && err != nil, "still there"
	})
	f.must(err)
}

// holds waits until so many connections wait for the silent server.
func (f *fixture) holds(server *silence, n int) {
	f.t.Helper()
	_, err := harness.Eventually(f.t.Context(), fmt.Sprintf("%d connections", n), harness.Patience, func(context.Context) (bool, string) {
		return server.waiting() >= n, fmt.Sprint(server.waiting())
	})
	f.must(err)
}

func (f *fixture) hasArtifact(name string) {
	f.t.Helper()
	var repo sourcev1.GitRepository
	_, err := harness.Eventually(f.t.Context(), "an artifact of "+name, harness.Patience, func(ctx context.Context) (bool, string) {
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.ns, Name: name}, &repo)
		return err == nil && repo.Status.Artifact != nil, fmt.Sprint(err, repo.Status.Conditions)
	})
	f.must(err)
}
