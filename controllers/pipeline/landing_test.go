// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// What a person committed was taken for what Sluice promoted when a commit of Sluice's author
// followed it before anybody looked, and the other way round.
func TestALandingIsOfTheCommitThatBroughtIt(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	brought := e.repo.Commit("main", gitserver.Files{"staging/app.yaml": strings.Replace(marked, "app:1", "app:7", 1)})
	e.repo.Commit("main", gitserver.Files{"staging/other.yaml": "a: 1\n"})
	for i := range 3 {
		e.repo.Commit("main", gitserver.Files{"README.md": fmt.Sprint(i)})
	}
	e.repo.Git("update-ref", "refs/heads/main", e.repo.Git("-c", "user.name=Sluice", "-c", "user.email=sluice@users.noreply.sluice.dev",
		"commit-tree", "main^{tree}", "-p", "main", "-m", "something else"))
	e.fetch()
	e.reconcile()
	got := e.pipeline.Status.Stages[0].Landings[0]
	if got.Kind != sluicev1.LandingManual || got.Commit != brought || got.By != "Test" {
		t.Errorf("it landed by %s of %s as %s, want %s of Test", got.Commit, got.By, got.Kind, brought)
	}
	before := e.server.Requests()
	e.reconcile()
	if n := e.server.Requests() - before; n > 0 {
		t.Errorf("%d requests about a landing that is known", n)
	}
}

func TestALandingTooFarBackIsOfNobody(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.repo.Commit("main", gitserver.Files{"staging/app.yaml": strings.Replace(marked, "app:1", "app:7", 1)})
	for i := range mostFetchedBack + 3 {
		e.repo.Commit("main", gitserver.Files{"README.md": fmt.Sprint(i)})
	}
	e.fetch()
	e.reconcile()
	if got := e.pipeline.Status.Stages[0].Landings[0]; got.Kind != sluicev1.LandingManual || got.Commit != "" {
		t.Errorf("landing %+v", got)
	}
}

// A commit to other files was a reason to look at all pull requests.
func TestCommitsToOtherFilesAreNoReasonToAskTheForge(t *testing.T) {
	e := newEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Write = sluicev1.Write{PullRequest: &sluicev1.PullRequest{}, Path: "production"}
	})
	var m forgeCache
	looks := func() bool {
		repo, err := e.openRepository(t.Context(), e.pipeline, sourceKeyOf(e.pipeline, &e.pipeline.Spec.Stages[0]))
		if err != nil {
			t.Fatal(err)
		}
		m.stages = map[string]*pullRequestCache{"production": {}}
		m.refresh(t.Context(), e.pipeline, repositories{"staging": repo, "production": repo}, &pushedHeads{}, e.clock.Now())
		return m.stages["production"].stale
	}
	looks()
	for name, tc := range map[string]struct {
		happens func()
		want    bool
	}{
		"nothing":                      {func() {}, false},
		"a commit to another stage":    {func() { e.repo.Commit("main", gitserver.Files{"staging/x.yaml": "a: 1\n"}) }, false},
		"a commit to the stage":        {func() { e.repo.Commit("main", gitserver.Files{"production/x.yaml": "a: 1\n"}) }, true},
		"the interval":                 {func() { e.clock.Step(10 * time.Minute) }, true},
		"a request for a reconcile":    {func() { e.pipeline.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} }, true},
		"another spec of the pipeline": {func() { e.pipeline.Generation++ }, true},
	} {
		tc.happens()
		e.fetch()
		if got := looks(); got != tc.want {
			t.Errorf("after %s: looks %v, want %v", name, got, tc.want)
		}
	}
}

// A process was stopped between a push and the look at what came of it, and somebody took the
// version out meanwhile: the next process committed it once more.
func TestWhoTakesAVersionOutWhileNoProcessRunsWins(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	e.reconcile()
	const state = "refs/heads/sluice/state/apps.shop"
	planned := ""
	for _, commit := range strings.Fields(e.repo.Git("log", "--format=%H", state)) {
		if strings.Contains(e.repo.Git("show", commit+":state.yaml"), "writing:") {
			planned = commit
			break
		}
	}
	if planned == "" || !strings.Contains(e.repo.Git("show", "main:staging/app.yaml"), "app:2") {
		t.Fatal("it is not written, or that was not planned")
	}
	e.repo.Git("update-ref", state, planned)
	e.repo.Commit("main", gitserver.Files{"staging/app.yaml": marked})
	e.fetch()
	e.Reconciler = e.process(e.Client)
	e.reconcile()
	if got := e.repo.Git("show", "main:staging/app.yaml"); strings.Contains(got, "app:2") {
		t.Errorf("it is written again: %s", got)
	}
	got := e.pipeline.Status.Stages[0]
	if len(got.Waiting) == 0 || !strings.HasPrefix(got.Waiting[0].Message, "app 2 was here, and commit ") {
		t.Errorf("staging waits for %+v", got.Waiting)
	}
}
