// SPDX-License-Identifier: Apache-2.0

package gitrepository_test

import (
	"path/filepath"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/controllers/gitrepository"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

type files = gitserver.Files

// fixture is a reconciler of one GitRepository against a real Git server.
type fixture struct {
	*testing.T
	*gitrepository.Reconciler
	server *gitserver.Server
	repo   *gitserver.Repo
	obj    *sourcev1.GitRepository
	clock  *clocktesting.FakeClock
	dir    string
	// objects are what the API server has, beside a Secret.
	objects []client.Object
}

func setup(t *testing.T, opts ...gitserver.Option) *fixture {
	t.Helper()
	server := gitserver.New(t, opts...)
	f := &fixture{
		T: t, server: server, repo: server.Repo("app"), dir: t.TempDir(),
		clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
	}
	f.repo.Commit("main", files{"deploy/app.yaml": "n: 1\n", "logo.png": "x"})
	f.obj = make.GitRepository("apps", "app", func(r *sourcev1.GitRepository) {
		r.Spec.URL, r.Spec.Interval.Duration = f.repo.URL, time.Minute
	})
	f.restart()
	return f
}

// restart is what a new process begins with.
func (f *fixture) restart() {
	secret := make.Secret("apps", "creds", map[string]string{"username": "user", "password": "secret"})
	scheme, err := kinds.Scheme()
	if err != nil {
		f.Fatal(err)
	}
	objects := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(f.objects, secret)...).Build()
	store := source.NewStore(filepath.Join(f.dir, "artifacts"), "store.example.com", f.clock)
	f.Reconciler = &gitrepository.Reconciler{
		Client: objects, Clock: f.clock,
		Mirrors:   git.NewMirrors(filepath.Join(f.dir, "mirrors"), f.clock),
		Publisher: source.Publisher{Store: store}, Opener: source.NewOpener(store),
		Pushed: &wake.Source{},
	}
}

func (f *fixture) reconcile() (reconciler.Result, error) {
	f.Helper()
	return f.Reconcile(f.Context(), f.obj)
}

func (f *fixture) must() reconciler.Result {
	f.Helper()
	result, err := f.reconcile()
	if err != nil {
		f.Fatal(err)
	}
	return result
}

// files are those of the artifact in status.
func (f *fixture) files() map[string]string {
	f.Helper()
	return sourcetest.Files(f, f.Publisher.Store, f.obj.Status.Artifact)
}
