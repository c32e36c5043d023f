// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxcd/pkg/apis/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// What goes wrong between a pipeline and its forge. The forge is a real one; a proxy
// before it answers in its place, or keeps an answer back.

// away answers as a gateway does whose server does not.
func away(status int) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, _ *http.Request) bool {
		http.Error(rw, http.StatusText(status), status)
		return true
	}
}

func TestAForgeThatIsAwayIsWaitedFor(t *testing.T) {
	f := newProposals(t, "away", "never")
	f.proposed("1.1.0")
	f.stage("production", "write: {pullRequest: {autoMerge: self}, path: ./production}")
	f.proxy.answer(away(http.StatusGatewayTimeout))
	before := f.proxy.times("GET", "")
	f.request(&sluicev1.Pipeline{}, f.name)
	f.pipelineBecomes("it asked several times", func(*sluicev1.Pipeline) bool { return f.proxy.times("GET", "") >= before+3 })
	p := f.pipelineBecomes("it says what is wrong", func(p *sluicev1.Pipeline) bool {
		ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == sluicev1.ForgeFailedReason
	})
	if apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.StalledCondition) || f.pull().State != "open" {
		t.Errorf("it is terminal: %s", standing(p))
	}
	f.proxy.answer(nil)
	f.stands("1.1.0", "1.1.0") // without being asked to look
}

func TestPullRequestsClosedByUsOrGoneForAWhileAreNoVeto(t *testing.T) {
	f := newProposals(t, "noveto", "never")
	f.proposed("1.1.0")
	f.must(f.repo.robot.Close(t.Context(), f.repo.Repo, f.pull().Number))
	f.look()
	f.pipelineBecomes("it is proposed again", func(*sluicev1.Pipeline) bool { return f.proposes("1.1.0") })
	open := f.pulls("open")
	for _, status := range []int{http.StatusNotFound, http.StatusBadGateway} {
		f.proxy.answer(away(status))
		before := f.proxy.times("GET", "")
		f.request(&sluicev1.Pipeline{}, f.name)
		f.pipelineBecomes("it asked", func(*sluicev1.Pipeline) bool { return f.proxy.times("GET", "") > before })
		f.proxy.answer(nil)
		f.look()
		if now := f.pulls("open"); len(now) != 1 || now[0].Number != open[0].Number {
			t.Errorf("after answers of %d open are %+v, were %+v: %s", status, now, open, standing(f.pipeline()))
		}
	}
	f.stage("production", "write: {pullRequest: {autoMerge: self}, path: ./production}")
	f.stands("1.1.0", "1.1.0")
}

func TestAHeadThatMovedAfterItsChecksIsNotMerged(t *testing.T) {
	f := newProposals(t, "moved", "never")
	f.proposed("1.1.0")
	f.proxy.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if isMerge(r) && f.proxy.times(http.MethodPost, "/merge") == 1 {
			_, err := f.at.alice.Commit(t.Context(), f.repo.Repo,
				gitea.Commit{Branch: f.branch(), Message: "Mine", Files: map[string]string{"mine": "x\n"}})
			if err != nil {
				t.Error(err)
			}
		}
		return false
	})
	f.stage("production", "write: {pullRequest: {autoMerge: self}, path: ./production}")
	f.pipelineBecomes("it is left to who committed to it", func(p *sluicev1.Pipeline) bool {
		return waits(p, "production", sluicev1.GateReview, "somebody else committed to #1")
	})
	f.look()
	f.want("main", "production", "1.0.0")
	if _, err := f.git.file(t.Context(), "main", "mine"); err == nil || f.proxy.times(http.MethodPost, "/merge") != 1 {
		t.Errorf("it was merged, or asked for %d times", f.proxy.times(http.MethodPost, "/merge"))
	}
}

func TestAMergeWhoseStatusWriteWasLostIsNotMergedAgain(t *testing.T) {
	var sluice *harness.Controller
	alone := func() (*environment, error) {
		w, err := newEnvironment("promotion-killed")
		if err == nil {
			sluice, err = w.start("--controllers=image,source,kustomize,promotion")
		}
		return w, err
	}
	f := newProposalsIn(t, "killed", "never", alone)
	f.proposed("1.1.0")
	killed := make(chan struct{})
	f.proxy.mu.Lock()
	f.proxy.after = func(answer *http.Response) error {
		if isMerge(answer.Request) && answer.StatusCode == http.StatusOK {
			sluice.Kill()
			close(killed)
			return errors.New("nobody is there to be answered")
		}
		return nil
	}
	f.proxy.mu.Unlock()
	f.stage("production", "write: {pullRequest: {autoMerge: self}, path: ./production}")
	select {
	case <-killed:
	case <-t.Context().Done():
		t.Fatal("nothing was merged")
	}
	if p := f.pipeline(); hasVerified(p, "production", "1.1.0") || !f.pull().Merged {
		t.Fatalf("the status was written: %s", standing(p))
	}
	f.must(sluice.Start(t.Context()))
	f.stands("1.1.0", "1.1.0")
	f.look()
	if n := f.proxy.times(http.MethodPost, "/merge"); n != 1 || len(f.pulls("all")) != 1 {
		t.Errorf("it was merged %d times, and there are %+v", n, f.pulls("all"))
	}
}

func TestAutoMergeIsTakenBackBeforeAWindowCloses(t *testing.T) {
	f := newProposals(t, "automerge", "never")
	f.proposed("1.1.0")
	f.must(f.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Statuses: []string{"ci"}}))
	f.stage("production", "write: {pullRequest: {autoMerge: platform}, path: ./production}")
	f.pipelineBecomes("the forge is asked to merge", func(*sluicev1.Pipeline) bool { return f.proxy.times(http.MethodPost, "/merge") == 1 })
	f.stage("production", `windows: [{name: incident, kind: Deny, from: "2026-01-01T00:00:00Z", to: "2099-01-01T00:00:00Z"}]`)
	f.pipelineBecomes("the forge is asked not to, and production waits", func(p *sluicev1.Pipeline) bool {
		return f.proxy.times(http.MethodDelete, "/merge") == 1 && waits(p, "production", sluicev1.GateWindow, "incident")
	})
	f.must(f.at.alice.SetStatus(t.Context(), f.repo.Repo, f.pull().Head.SHA, "ci", "success"))
	f.look()
	if pr := f.pull(); pr.State != "open" || strings.Contains(f.has("main", "production"), "1.1.0") {
		t.Errorf("it was merged in spite of the window: %+v", pr)
	}
	f.stage("production", "windows: null")
	f.stands("1.1.0", "1.1.0")
}
