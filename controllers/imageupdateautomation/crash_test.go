// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
)

type noEvents struct{}

func (noEvents) Event(client.Object, reconciler.Event) {}

// runner is what a process has around the reconciler: it reads the automation, and writes its status.
func (f fixture) runner() reconcile.Reconciler {
	return reconciler.New(f.Client, f.Client, kind(), f.Reconciler, reconciler.Options{Clock: clock.RealClock{}, Recorder: noEvents{}})
}

// restarts is another process, which remembers nothing.
func (f fixture) restarts(t *testing.T) {
	t.Helper()
	f.Writer = writeback.NewWriter(git.NewMirrors(t.TempDir(), clock.RealClock{}), clock.RealClock{})
	f.tracker = tracker{}
}

// pushes answers pushes by a function; mend ends that.
func (f fixture) pushes(do func(push func())) (mend func()) {
	return f.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				do(func() { next.ServeHTTP(w, r) })
				return
			}
			next.ServeHTTP(w, r)
		})
	})
}

// A process was killed after a push, and before the status had it. When the checkout had moved until the
// next one began, that took the branch for somebody else's: it was never built anew.
func TestAKillAfterAPushMakesTheBranchNobodyElses(t *testing.T) {
	for name, kills := range map[string]int{"one process": 1, "the next one, too": 2} {
		t.Run(name, func(t *testing.T) {
			a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"} })
			f := newFixture(t, credentials(), source(), policy("2"), a)
			key := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a)}
			for range kills {
				before := ""
				if f.repo.Has("updates") {
					before = f.repo.Head("updates")
				}
				ctx, end := context.WithCancel(t.Context())
				mend := f.pushes(func(push func()) { push(); end() })
				if _, err := f.runner().Reconcile(ctx, key); err != nil {
					t.Fatal(err)
				}
				mend()
				if !f.repo.Has("updates") || f.repo.Head("updates") == before {
					t.Fatal("nothing was pushed")
				}
				f.restarts(t)
				f.repo.Commit("main", gitserver.Files{"README.md": "by somebody else, after " + f.repo.Head("updates") + "\n"})
				f.repo.Commit("main", gitserver.Files{"README.md": "and again\n"})
			}
			pushed := f.repo.Head("updates")
			if _, err := f.runner().Reconcile(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			var live imagev1.ImageUpdateAutomation
			must(t, f.Client.Get(t.Context(), key.NamespacedName, &live))
			if parent := strings.TrimSpace(f.repo.Git("rev-parse", "updates^")); parent != f.repo.Head("main") || f.repo.Head("updates") == pushed {
				t.Errorf("the branch is on %s, and not built anew: %+v", parent, live.Status)
			}
			if live.Status.LastPushCommit != f.repo.Head("updates") || live.Status.PendingPush != nil {
				t.Errorf("the status is %+v", live.Status)
			}
		})
	}
}

// What was pushed before a kill was told to nobody, and sources did not fetch it before their interval was over.
func TestAPushBeforeAKillIsToldByTheNextProcess(t *testing.T) {
	a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"} })
	reader := source(func(r *sourcev1.GitRepository) { r.Name, r.Spec.Reference.Branch = "reader", "updates" })
	f := newFixture(t, credentials(), source(), reader, policy("2"), a)
	key := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a)}
	ctx, end := context.WithCancel(t.Context())
	mend := f.pushes(func(push func()) { push(); end() })
	if _, err := f.runner().Reconcile(ctx, key); err != nil {
		t.Fatal(err)
	}
	mend()
	f.restarts(t)
	*f.woken = nil
	live, head := &imagev1.ImageUpdateAutomation{}, f.repo.Head("updates")
	must(t, f.Client.Get(t.Context(), key.NamespacedName, live))
	if live.Status.LastPushCommit == head || live.Status.PendingPush == nil {
		t.Fatalf("the status has the push: %+v", live.Status)
	}
	want := []reconciler.Event{{
		Type: "Normal", Reason: "Succeeded", Message: "pushed commit '" + head[:7] + "' to branch 'updates'",
		Metadata: map[string]string{imagev1.RevisionAnnotation: "updates@sha1:" + head, imagev1.CommitAnnotation: head},
	}}
	for _, events := range [][]reconciler.Event{want, nil} { // it is told once
		result, err := f.Reconcile(t.Context(), live)
		must(t, err)
		if diff := cmp.Diff(events, result.Events); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(woken{client.ObjectKeyFromObject(reader)}, *f.woken); diff != "" {
		t.Error("sources were woken:", diff)
	}
}

// A push that was refused is not there, and takes nothing from what was pushed before.
func TestAPushThatFailsLeavesTheOneBefore(t *testing.T) {
	a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"} })
	p := policy("2")
	f := newFixture(t, credentials(), source(), p, a)
	key := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(a)}
	run := func() error {
		_, err := f.runner().Reconcile(t.Context(), key)
		return err
	}
	must(t, run())
	must(t, f.Client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
	f.choose(t, p, "3")
	f.repo.Commit("main", gitserver.Files{"README.md": "one\n"})
	mend := f.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	if err := run(); err == nil {
		t.Fatal("it was pushed")
	}
	mend()
	f.restarts(t)
	f.repo.Commit("main", gitserver.Files{"README.md": "two\n"})
	must(t, run())
	if parent := strings.TrimSpace(f.repo.Git("rev-parse", "updates^")); parent != f.repo.Head("main") {
		t.Errorf("the branch is on %s, and main at %s", parent, f.repo.Head("main"))
	}
}

// Without the status nobody would know that a commit is ours: it is not pushed then.
func TestNothingIsPushedThatTheStatusCannotSay(t *testing.T) {
	a := automation(func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"} })
	f := newFixture(t, credentials(), source(), policy("2"), a)
	away := errors.New("the API server is away")
	ctx := reconciler.WithCheckpoint(t.Context(), func(context.Context) error { return away })
	if _, err := f.Reconciler.Reconcile(ctx, a); !errors.Is(err, away) || f.repo.Has("updates") {
		t.Errorf("got %v; pushed: %t", err, f.repo.Has("updates"))
	}
}

// The pull request was opened after the push. A process that was killed between the two took its own
// branch for one that has commits of somebody else, and waited for a person to delete it.
func TestAKillBeforeThePullRequestWasOpened(t *testing.T) {
	a := automation(proposes())
	f := proposingFixture(t)
	must(t, f.Client.Create(t.Context(), a))
	seen, err := f.observe(t.Context(), a)
	must(t, err)
	review, err := f.Writer.Review(t.Context(), seen.request)
	must(t, err)
	var kept imagev1.ImageUpdateAutomationStatus // of a process that is killed when the forge is asked
	ctx := reconciler.WithCheckpoint(t.Context(), func(context.Context) error {
		kept = *a.Status.DeepCopy()
		return nil
	})
	out := errors.New("the forge is out")
	p := &pullRequestRun{controller: f.Reconciler, a: a, seen: seen, review: review, forge: &answers{fails: map[string]error{"open": out}}}
	if err := p.open(ctx, proposalObservation{branch: "updates", base: "main"}, &proposalDecision{}); !errors.Is(err, out) {
		t.Fatal(err)
	}
	f.restarts(t)
	f.repo.Commit("main", gitserver.Files{"README.md": "one\n"})
	f.repo.Commit("main", gitserver.Files{"README.md": "two\n"})
	a.Status = kept
	seen, err = f.observe(t.Context(), a)
	must(t, err)
	review, err = f.Writer.Review(t.Context(), seen.request)
	must(t, err)
	if review.Tip.String() != f.repo.Head("updates") || !review.Ours || review.Recovered != review.Tip {
		t.Errorf("the review is %+v", review)
	}
}
