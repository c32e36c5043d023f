// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	builder "github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui"
)

// commitsFixture is a repository with three commits, of which a replica that was just started has none.
type commitsFixture struct {
	*testing.T
	*commits
	server *gitserver.Server
	object *sourcev1.GitRepository
	clock  *clocktesting.FakeClock
	// first, pushed and head are its commits.
	first, pushed, head string
}

func commitsOf(t *testing.T) *commitsFixture {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	f := &commitsFixture{T: t, server: gitserver.New(t), clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))}
	repo := f.server.Repo("app")
	f.first = repo.Commit("main", gitserver.Files{"a.yaml": "a: 1\n"})
	f.pushed = repo.Commit("main", gitserver.Files{"a.yaml": "a: 2\n"})
	f.head = repo.Commit("main", gitserver.Files{"a.yaml": "a: 3\n"})
	f.object = builder.GitRepository("apps", "fleet", func(g *sourcev1.GitRepository) { g.Spec.URL = repo.URL })
	f.commits = newCommits(git.NewMirrors(t.TempDir(), f.clock), git.NewMirrors(t.TempDir(), f.clock),
		fake.NewClientBuilder().WithScheme(scheme).Build(),
		credential.Options{Clock: f.clock}, f.clock)
	f.fetches.Patience = time.Minute
	return f
}

func (f *commitsFixture) changes(commit string) (*git.Changes, error) {
	limits := git.ChangeLimits{Paths: 10, Files: 10, File: 1000, Total: 1000}
	return f.Changes(f.Context(), f.object, plumbing.NewHash(commit), limits)
}

// shows demands that a commit changed a.yaml to a text.
func (f *commitsFixture) shows(commit, text string) {
	f.Helper()
	got, err := f.changes(commit)
	if err != nil || len(got.Files) != 1 || string(got.Files[0].New) != text {
		f.Errorf("got %+v, %v", got, err)
	}
}

// The page said that the commit was not known, on replicas that do not lead, and on those that were started after another commit.
func TestACommitThatTheMirrorLacksIsFetchedOnce(t *testing.T) {
	f := commitsOf(t)
	f.shows(f.pushed, "a: 2\n")
	asked := f.server.Requests()
	f.shows(f.pushed, "a: 2\n")
	if again := f.server.Requests(); again != asked {
		t.Errorf("asked the server %d times for what is here", again-asked)
	}
	f.shows(f.first, "a: 1\n")
	f.shows(f.head, "a: 3\n")
}

// Whoever looked at an old commit took the place of what is reconciled in the mirror, and made the reconciler forget what it refuses.
func TestCommitsForThePageStayOutOfReconciledMirrors(t *testing.T) {
	f := commitsOf(t)
	remote, err := credential.Read(t.Context(), f.secrets, f.object, f.credentials)
	if err != nil {
		t.Fatal(err)
	}
	mirror, err := f.reconciled.Get(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	if err := mirror.Fetch(t.Context(), "main", plumbing.NewHash(f.head)); err != nil {
		t.Fatal(err)
	}
	f.shows(f.first, "a: 1\n")
	if mirror.Has(plumbing.NewHash(f.first)) || !mirror.Has(plumbing.NewHash(f.head)) {
		t.Error("the reconciled mirror has changed")
	}
}

// A replica that does not lead has no other reason to look at its mirrors.
func TestWhatNobodyLooksAtAnyMoreIsRemoved(t *testing.T) {
	f := commitsOf(t)
	f.shows(f.pushed, "a: 2\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.run(ctx) }()
	for gone := false; !gone; {
		runtime.Gosched()
		if f.clock.HasWaiters() {
			f.clock.Step(49 * time.Hour)
		}
		_, known := f.fetched.OwnedBy(credential.Owner(f.object))
		gone = !known
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A disk that could not be read would have ended the page, and with it the process.
func TestAFolderThatCannotBeSweptEndsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		clk := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
		c := newCommits(nil, git.NewMirrors(file, clk), nil, credential.Options{}, clk)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.run(ctx) }()
		synctest.Wait()
		if err := c.fetched.Sweep(); err != nil {
			t.Fatal("nothing is old at first: ", err)
		}
		clk.Step(2 * sweepEvery)
		synctest.Wait()
		clk.Step(2 * sweepEvery)
		synctest.Wait()
		select {
		case err := <-done:
			t.Error("it has ended: ", err)
		default:
		}
		cancel()
	})
}

func TestNothingIsFetchedForASuspendedGitRepository(t *testing.T) {
	f := commitsOf(t)
	f.object.Spec.Suspend = true
	_, err := f.changes(f.pushed)
	if !errors.Is(err, ui.ErrNotFetched) || !strings.Contains(err.Error(), "GitRepository apps/fleet is suspended") {
		t.Errorf("got %v", err)
	}
	if n := f.server.Requests(); n > 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestACommitThatCannotBeFetchedIsNotAskedForByEveryRequest(t *testing.T) {
	f := commitsOf(t)
	undo := f.server.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "maintenance", http.StatusServiceUnavailable)
		})
	})
	if _, err := f.changes(f.pushed); !errors.Is(err, ui.ErrNotFetched) || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	undo()
	if _, err := f.changes(f.pushed); !errors.Is(err, ui.ErrNotFetched) {
		t.Errorf("right after it failed: %v", err)
	}
	f.clock.Step(failedAge)
	f.shows(f.pushed, "a: 2\n")
}

func TestACommitIsFetchedWithTheCredentialsOfItsGitRepository(t *testing.T) {
	f := commitsOf(t)
	f.object.Spec.SecretRef = &meta.LocalObjectReference{Name: "none"}
	if _, err := f.changes(f.pushed); !errors.Is(err, ui.ErrNotFetched) || !strings.Contains(err.Error(), "spec.secretRef") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatHangsIsWaitedForInTheBackground(t *testing.T) {
	f := commitsOf(t)
	f.fetches.Patience = time.Millisecond
	answers := make(chan struct{})
	f.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-answers
			next.ServeHTTP(w, r)
		})
	})
	for range 2 {
		if _, err := f.changes(f.pushed); !errors.Is(err, background.ErrPending) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := f.changes(f.head); !errors.Is(err, background.ErrPending) {
		t.Errorf("another commit: %v", err)
	}
	close(answers)
	for _, commit := range []string{f.pushed, f.head} {
		err := background.ErrPending
		for errors.Is(err, background.ErrPending) {
			runtime.Gosched()
			_, err = f.changes(commit)
		}
		if err != nil {
			t.Error(err)
		}
		if f.fetches.Has(commitKey{repository: client.ObjectKeyFromObject(f.object), commit: plumbing.NewHash(commit)}) {
			t.Error("its fetch takes the place of others")
		}
	}
}
