// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func byPerson(pr *sluicev1.PullRequest)   { pr.AutoMerge = sluicev1.AutoMergeNever }
func byPlatform(pr *sluicev1.PullRequest) { pr.AutoMerge = sluicev1.AutoMergePlatform }

// approved has production wait for an approval.
func approved(p *sluicev1.Pipeline) { p.Spec.Stages[1].Approval = &sluicev1.Approval{MinApprovals: 1} }

func TestABundleIsProposedAndMerged(t *testing.T) {
	e := newGitHubEnv(t)
	e.verify("2")
	pr := e.pull()
	if pr.state != "merged" || pr.title != "Promote shop to production: app 2" || !strings.Contains(pr.body, "| app | 1 | 2 |") {
		t.Errorf("the pull request is %+v", pr)
	}
	e.want("2", "2")
	if !slices.ContainsFunc(*e.woken, func(w types.NamespacedName) bool { return w.Name == "fleet" }) {
		t.Error("the GitRepository was not woken")
	}
	e.apply("production")
	e.reconcile()
	if got := e.production(); got.Phase != sluicev1.StageVerified || len(got.Landings) != 2 ||
		got.Landings[0].Kind != sluicev1.LandingPromotion {
		t.Errorf("production is %+v", got)
	}
}

// A pipeline that finds nothing to do asks the forge for nothing between two intervals, and
// once then, for what changed last.
func TestAPullRequestAtRestAsksNoForge(t *testing.T) {
	for name, tc := range map[string]struct {
		opts     func(*sluicev1.PullRequest)
		interval []string // what is asked once in an interval
	}{
		"one that waits for a person": {byPerson, []string{
			"GET " + gitHubRepo + "/pulls/1", "POST /api/graphql", "GET " + gitHubRepo, "GET " + gitHubRepo + "/rules/branches/main",
			"GET " + gitHubRepo + "/branches/main/protection",
		}},
		"one that was merged": {func(*sluicev1.PullRequest) {}, []string{"GET " + gitHubRepo + "/pulls"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newGitHubEnv(t, opts(tc.opts))
			e.verify("2")
			e.apply("production")
			e.reconcile()
			e.reconcile()
			e.asked()
			git := e.server.Requests()
			for range 5 {
				e.clock.Step(time.Minute)
				e.reconcile()
			}
			if asked := e.asked(); len(asked) > 0 || e.server.Requests() != git {
				t.Errorf("at rest %q and %d times Git were asked", asked, e.server.Requests()-git)
			}
			e.look()
			asked := slices.DeleteFunc(e.asked(), func(r string) bool { return strings.Contains(r, "/commits/") })
			if !slices.Equal(asked, tc.interval) {
				t.Errorf("after an interval %q was asked, want %q", asked, tc.interval)
			}
		})
	}
}

func TestADraftIsReadyOnceTheGatesAreOpen(t *testing.T) {
	e := newGitHubEnv(t, approved, opts(func(pr *sluicev1.PullRequest) { pr.Draft, pr.AutoMerge = true, sluicev1.AutoMergeNever }))
	e.verify("2")
	if pr := e.pull(); !pr.draft || e.forge.statuses[e.head(pr.branch)][headOfProduction] != "pending" {
		t.Fatalf("the pull request is %+v, its checks are %v", pr, e.forge.statuses)
	}
	title := e.pull().title
	e.pipeline.Spec.Stages[1].Approval = nil
	e.pipeline.Generation++
	e.reconcile()
	if pr := e.pull(); pr.draft || pr.state != "open" || pr.title != title ||
		e.forge.statuses[e.head(pr.branch)][headOfProduction] != "success" {
		t.Errorf("the pull request is %+v, its checks are %v", pr, e.forge.statuses)
	}
	approved(e.pipeline)
	e.pipeline.Generation++
	e.reconcile()
	if pr := e.pull(); !pr.draft {
		t.Errorf("its gate closed, and the pull request is %+v", pr)
	}
}

func TestTheForgeMergesByItself(t *testing.T) {
	e := newGitHubEnv(t, opts(byPlatform))
	e.forge.required = []string{"ci"}
	e.verify("2")
	if pr := e.pull(); !pr.auto || pr.state != "open" {
		t.Fatalf("the pull request is %+v: %+v", pr, e.production())
	}
	e.at(func(g *gitHub) { g.setStatus(g.head(g.pulls[0]), "ci", "success") })
	e.look()
	e.want("2", "2")
	if pr := e.pull(); pr.state != "merged" {
		t.Errorf("the pull request is %+v", pr)
	}
}

// A gate that closes while the forge waits for a check must not be overtaken by it.
func TestAutoMergeIsTakenBackWhenAGateCloses(t *testing.T) {
	e := newGitHubEnv(t, opts(byPlatform))
	e.forge.required = []string{"ci"}
	e.verify("2")
	approved(e.pipeline)
	e.pipeline.Generation++
	e.reconcile()
	if pr := e.pull(); pr.auto {
		t.Fatalf("the pull request is %+v: %+v", pr, e.production())
	}
	e.at(func(g *gitHub) { g.setStatus(g.head(g.pulls[0]), "ci", "success") })
	e.look()
	e.want("2", "1")
}

// The checks may have ended between the look and the request: GitHub refuses auto-merge then.
func TestWhatTheForgeWouldMergeAtOnceIsMerged(t *testing.T) {
	e := newGitHubEnv(t, opts(byPlatform))
	e.forge.required = []string{"ci"}
	e.forge.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, gitHubRepo+"/statuses/") { // the look is over
			sha := strings.TrimPrefix(r.URL.Path, gitHubRepo+"/statuses/")
			e.forge.statuses[sha] = map[string]string{"ci": "success"}
		}
		return false
	}
	e.verify("2")
	e.want("2", "2")
	if pr := e.pull(); pr.state != "merged" || pr.auto {
		t.Errorf("the pull request is %+v", pr)
	}
}

func TestAMergeQueue(t *testing.T) {
	// That of an older protection was not seen: a token that may bypass it merged past the queue.
	for name, older := range map[string]bool{"of a ruleset": false, "of a protection": true} {
		t.Run(name, func(t *testing.T) { mergesByQueue(t, older) })
	}
}

func mergesByQueue(t *testing.T, older bool) {
	t.Helper()
	e := newGitHubEnv(t)
	e.forge.queue, e.forge.older = true, older
	e.verify("2")
	pr := e.pull()
	if !pr.queued || pr.state != "open" {
		t.Fatalf("the pull request is %+v: %+v", pr, e.production())
	}
	queued := e.head(pr.branch)
	e.verify("3") // nothing may be pushed to what is in a queue
	e.look()
	e.look()
	if e.head(pr.branch) != queued || e.production().PullRequest.Frozen != "it is in the merge queue" {
		t.Errorf("the head is %s, was %s: %+v", e.head(pr.branch), queued, e.production().PullRequest)
	}
	e.at(func(g *gitHub) { g.land(g.pulls[0], "github-merge-queue") })
	e.look()
	e.want("3", "2")
}

// It was merged into that branch, with all that the one of the stage has; a process that was started since opened another
// one from the same branch.
func TestAPullRequestIntoAnotherBranchIsLeftAlone(t *testing.T) {
	e := newGitHubEnv(t, opts(func(pr *sluicev1.PullRequest) { pr.AutoMerge = sluicev1.AutoMergeSelf }))
	e.forge.required = []string{"build"}
	e.verify("2")
	head := e.head(e.pull().branch)
	e.at(func(g *gitHub) {
		g.pulls[0].base = "hotfix"
		g.setStatus(head, "build", "success")
	})
	for _, process := range []*Reconciler{e.Reconciler, e.process(e.Client)} {
		process.Forges, e.Reconciler = e.Forges, process
		e.look()
		e.verify("3")
		if pr := e.pull(); pr.state != "open" || e.head(pr.branch) != head {
			t.Errorf("the pull request is %+v, and its head %s was %s", pr, e.head(pr.branch), head)
		}
		if gates := e.production().Waiting; len(gates) == 0 || !strings.Contains(gates[len(gates)-1].Message, "#1 is into branch hotfix now") {
			t.Errorf("it waits for %+v", gates)
		}
	}
	e.at(func(g *gitHub) { g.pulls[0].base = "main" })
	e.look()
	e.at(func(g *gitHub) { g.setStatus(g.repo.Head(g.pulls[0].branch), "build", "success") })
	e.look()
	e.want("3", "3")
}

// A window opened, and what had been seen of the pull request was from before: it was merged into the other branch.
func TestWhatAPersonChangedSinceTheLastLookIsSeenBeforeTheMerge(t *testing.T) {
	e := newGitHubEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Windows = []sluicev1.Window{{
			Name: "later", Kind: sluicev1.WindowAllow, From: &metav1.Time{Time: time.Unix(1_700_000_060, 0)},
			To: &metav1.Time{Time: time.Unix(1_700_001_000, 0)},
		}}
	})
	e.verify("2")
	e.at(func(g *gitHub) { g.pulls[0].base = "hotfix" })
	e.clock.Step(2 * time.Minute)
	e.reconcile()
	gates := e.production().Waiting
	if e.pull().state != "open" || len(gates) != 1 || !strings.Contains(gates[0].Message, "is into branch hotfix now") {
		t.Errorf("it is %s, and waits for %+v", e.pull().state, gates)
	}
}

// What a queue refuses was an error of the whole pipeline, and not what the stage waits for.
func TestAMergeQueueThatRefusesIsWaitedFor(t *testing.T) {
	e := newGitHubEnv(t)
	e.forge.queue, e.forge.full = true, true
	e.verify("2")
	const why = "the forge does not merge it: Pull request is not mergeable"
	if gates := e.production().Waiting; len(gates) != 1 || !strings.Contains(gates[0].Message, why) {
		t.Errorf("it waits for %+v", gates)
	}
	e.at(func(g *gitHub) { g.full = false })
	e.look()
	if !e.pull().queued {
		t.Errorf("it is not queued: %+v", e.production())
	}
}

func TestANewerBundleTakesThePlaceOfOneThatWaits(t *testing.T) {
	e := newGitHubEnv(t, opts(byPerson))
	e.verify("2")
	e.verify("3")
	pr := e.pull()
	if pr.title != "Promote shop to production: app 3" || !strings.Contains(e.repo.File(pr.branch, "production/app.yaml"), "app:3 ") {
		t.Errorf("the pull request is %+v", pr)
	}
	if parents := e.repo.Git("log", "-1", "--format=%P", pr.branch); parents != e.head("main") {
		t.Errorf("the head is on %s, and main at %s", parents, e.head("main"))
	}
}

func TestWhatAPersonClosesIsNotProposedAgain(t *testing.T) {
	e := newGitHubEnv(t, opts(byPerson))
	e.verify("2")
	e.at(func(g *gitHub) { g.pulls[0].state, g.pulls[0].closedBy = "closed", "alice"; g.touch(g.pulls[0]) })
	e.look()
	e.look()
	if pr := e.pull(); pr.state != "closed" {
		t.Fatalf("the pull request is %+v", pr)
	}
	e.at(func(g *gitHub) { g.pulls[0].state, g.pulls[0].closedBy = "open", ""; g.touch(g.pulls[0]) })
	e.look()
	if got := e.production(); got.PullRequest == nil || got.PullRequest.State != "open" || got.PullRequest.Bundle == "" {
		t.Errorf("the status is %+v", got)
	}
}

func TestWhatIsNotWantedAnyMoreIsClosed(t *testing.T) {
	e := newGitHubEnv(t, opts(byPerson))
	e.verify("2")
	e.repo.Commit("main", gitserver.Files{"production/app.yaml": strings.Replace(marked, ":1", ":2", 1)})
	e.fetch()
	e.apply("production")
	e.reconcile()
	pr := e.pull()
	if pr.state != "closed" || len(pr.comments) != 1 || !strings.HasPrefix(pr.comments[0], "Closed by Sluice: ") {
		t.Errorf("the pull request is %+v", pr)
	}
}

func TestACommitOfSomebodyElseIsLeftAlone(t *testing.T) {
	e := newGitHubEnv(t, opts(byPerson))
	e.verify("2")
	branch := e.pull().branch
	theirs := e.repo.Commit(branch, gitserver.Files{"mine": "x"})
	e.look()
	e.verify("3")
	if pr := e.pull(); e.head(branch) != theirs || len(pr.comments) != 1 || !strings.Contains(pr.comments[0], "sluice/retry") {
		t.Fatalf("the pull request is %+v at %s, want %s", pr, e.head(branch), theirs)
	}
	e.at(func(g *gitHub) { g.pulls[0].labels = []string{"sluice/retry"}; g.touch(g.pulls[0]) })
	e.look()
	if !strings.Contains(e.repo.File(branch, "production/app.yaml"), "app:3 ") ||
		strings.Contains(e.repo.Git("ls-tree", "--name-only", branch), "mine") {
		t.Errorf("what was handed back is %+v", e.pull())
	}
}

// The branch of proposals may be that of somebody who knows nothing of them.
func TestABranchOfSomebodyElseIsNotReplaced(t *testing.T) {
	e := newGitHubEnv(t)
	theirs := e.repo.Commit(headOfProduction, gitserver.Files{"mine": "x"})
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil || !strings.Contains(err.Error(), "spec.stages[production].write.pullRequest.branchPrefix") ||
		e.head(headOfProduction) != theirs {
		t.Errorf("got %v; the branch is at %s, want %s", err, e.head(headOfProduction), theirs)
	}
}

func TestReviewersThatCannotBeAskedAreAWarning(t *testing.T) {
	e := newGitHubEnv(t, opts(func(pr *sluicev1.PullRequest) { pr.Reviewers = []string{"nobody"}; byPerson(pr) }))
	e.reconcile()
	e.release("2")
	e.reconcile()
	e.apply("staging")
	result, err := e.Reconcile(t.Context(), e.pipeline)
	must(t, err)
	warned := false
	for _, event := range result.Events {
		warned = warned || event.Type == "Warning" && strings.Contains(event.Message, "pull request #1 of stage production: ")
	}
	if pr := e.pull(); !warned || pr.state != "open" {
		t.Errorf("the events are %+v, and the pull request %+v", result.Events, pr)
	}
}

// limits refuses all requests for an hour of the clock.
func (e *gitHubEnv) limits() {
	until := e.clock.Now().Add(time.Hour)
	e.at(func(g *gitHub) {
		g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			if !e.clock.Now().Before(until) {
				return false
			}
			w.Header().Set("X-Ratelimit-Remaining", "0")
			w.Header().Set("X-Ratelimit-Reset", fmt.Sprint(until.Unix()))
			answer(w, http.StatusForbidden, document{"message": "API rate limit exceeded"})
			return true
		}
	})
}

// away has the forge answer with a status of a server that is in trouble.
func (e *gitHubEnv) away(code int) {
	e.at(func(g *gitHub) {
		g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
			answer(w, code, document{"message": "trouble"})
			return true
		}
	})
}

func TestAForgeThatLimitsHoldsNoOtherStage(t *testing.T) {
	e := newGitHubEnv(t, opts(byPerson))
	e.verify("2")
	e.limits()
	e.release("3")
	e.clock.Step(e.pipeline.Spec.Interval.Duration)
	_, err := e.Reconcile(t.Context(), e.pipeline)
	until := e.clock.Now().Add(50 * time.Minute).UTC().Format(time.RFC3339)
	if limited := (*forge.RateLimited)(nil); !errors.As(err, &limited) || errors.Is(err, reconcile.TerminalError(nil)) ||
		!strings.Contains(err.Error(), until) {
		t.Fatalf("got %v, want until %s", err, until)
	}
	e.want("3", "1") // staging went on
	if got := e.production(); !strings.Contains(got.Message, "limits the rate of requests") {
		t.Errorf("production says %q", got.Message)
	}
	e.asked()
	for range 3 {
		if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil {
			t.Fatal("the limit is over already")
		}
	}
	if asked := e.asked(); len(asked) > 0 {
		t.Errorf("%q was asked although the forge said until when", asked)
	}
	e.clock.Step(time.Hour)
	e.fetch()
	e.apply("staging")
	e.reconcile()
	if pr := e.pull(); pr.title != "Promote shop to production: app 3" {
		t.Errorf("after the limit the pull request is %+v", pr)
	}
}

func TestAForgeThatIsAwayForAnHourIsAskedAgain(t *testing.T) {
	for _, code := range []int{
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			e := newGitHubEnv(t, opts(byPerson))
			e.verify("2")
			e.away(code)
			for minutes := 0; minutes < 70; minutes += 10 {
				e.clock.Step(10 * time.Minute)
				if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || errors.Is(err, reconcile.TerminalError(nil)) ||
					!strings.Contains(err.Error(), fmt.Sprint(code)) {
					t.Fatalf("after %d minutes: %v", minutes, err)
				}
				if got := e.production(); got.PullRequest == nil || got.PullRequest.State != "open" {
					t.Fatalf("the pull request was forgotten: %+v", got)
				}
			}
			e.at(func(g *gitHub) { g.refuse = nil; g.land(g.pulls[0], "alice") })
			e.look()
			e.want("2", "2")
		})
	}
}

func TestACredentialThatTheForgeRefusesIsForAPerson(t *testing.T) {
	e := newGitHubEnv(t)
	e.away(http.StatusUnauthorized)
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "spec.forge") ||
		strings.Contains(err.Error(), "t0ken") {
		t.Errorf("got %v", err)
	}
}

// A merge that the forge refuses is tried again: soon, if waiting may help.
func TestAMergeThatIsRefused(t *testing.T) {
	e := newGitHubEnv(t)
	refused := 0
	e.forge.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/merge") && refused < 2 {
			refused++
			answer(w, 405, document{"message": "Base branch was modified. Review and try the merge again."})
			return true
		}
		return false
	}
	e.verify("2")
	result, err := e.Reconcile(t.Context(), e.pipeline)
	if err != nil || result.After > 2*firstWait || !strings.Contains(e.production().Message, "the forge does not merge it: ") {
		t.Fatalf("look again after %s, %v: %s", result.After, err, e.production().Message)
	}
	for range 4 {
		e.clock.Step(time.Minute)
		e.reconcile()
	}
	e.want("2", "2")
	if refused != 2 {
		t.Errorf("it was refused %d times", refused)
	}
}

// Somebody may push between the look and the merge: what they pushed was not judged.
func TestAHeadThatMovedIsNotMerged(t *testing.T) {
	e := newGitHubEnv(t)
	e.forge.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/merge") {
			e.repo.Commit(headOfProduction, gitserver.Files{"mine": "x"})
			e.forge.refuse = nil
		}
		return false
	}
	e.verify("2")
	e.look()
	if pr := e.pull(); pr.state != "open" || e.has("production") != "1" {
		t.Errorf("the pull request is %+v", pr)
	}
}

func TestHowAHeadIsMerged(t *testing.T) {
	for _, method := range []sluicev1.MergeMethod{"", sluicev1.MergeMethodMerge, sluicev1.MergeMethodSquash, sluicev1.MergeMethodRebase} {
		t.Run("method "+string(method), func(t *testing.T) {
			e := newGitHubEnv(t, opts(func(pr *sluicev1.PullRequest) { pr.MergeMethod = method }))
			var sent document
			e.forge.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				sent = e.forge.read(r)
				e.forge.land(e.forge.pulls[0], "sluice-bot")
				answer(w, 200, document{"merged": true})
				return true
			}
			e.verify("2")
			want := strings.ToLower(string(method))
			if method == "" {
				want = "merge"
			}
			if sent["merge_method"] != want || sent["sha"] != e.head(headOfProduction) {
				t.Errorf("sent %v", sent)
			}
			// What the forge writes keeps what our commit says.
			body, _ := sent["commit_message"].(string)
			if ours := method != sluicev1.MergeMethodRebase; ours != strings.Contains(body, "Sluice-Stage: production") {
				t.Errorf("the message is %q", body)
			}
		})
	}
}

// The state forgot a pull request before that was closed. If the forge refused, or the process was killed,
// the next one did not find it: it was open into the branch before for ever, and might be merged there.
func TestAPullRequestIntoTheBranchBeforeIsClosedByTheNextProcess(t *testing.T) {
	for name, lost := range map[string]bool{"": false, " that was not seen open": true} {
		t.Run("one"+name, func(t *testing.T) {
			e := newGitHubEnv(t, opts(func(pr *sluicev1.PullRequest) { pr.AutoMerge = sluicev1.AutoMergeNever }))
			e.verify("2")
			if pr := e.pull(); pr.state != "open" {
				t.Fatalf("the pull request is %+v", pr)
			}
			if lost {
				e.editState(func(text string) string {
					if !strings.Contains(text, "      number: 1\n") {
						t.Fatalf("the state is %s", text)
					}
					return strings.Replace(text, "      number: 1\n", "", 1)
				})
			}
			e.repo.Git("branch", "release", "main")
			e.pipeline.Spec.Stages[1].Write.Branch = "release"
			e.pipeline.Generation++
			away := true
			e.forge.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case away && r.Method == http.MethodPatch:
					w.WriteHeader(http.StatusBadGateway)
				case strings.HasSuffix(r.URL.Path, "/rules/branches/release"):
					answer(w, 200, []document{})
				case strings.HasSuffix(r.URL.Path, "/branches/release/protection"):
					answer(w, 404, document{"message": "Branch not protected"})
				default:
					return false
				}
				return true
			}
			next := func() {
				e.Reconciler = e.process(e.Client)
				e.Forges = forge.NewClients(forge.Options{Clock: e.clock})
			}
			next()
			if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil {
				t.Fatal("the forge was not asked to close it")
			}
			e.at(func(*gitHub) { away = false })
			next()
			e.reconcile()
			e.at(func(g *gitHub) {
				if len(g.pulls) != 2 || g.pulls[0].state != "closed" || g.pulls[1].state != "open" || g.pulls[1].base != "release" {
					t.Errorf("there are %d, the first is %+v: %+v", len(g.pulls), g.pulls[0], e.pipeline.Status.Stages[1])
				}
			})
		})
	}
}

// oneElsewhere is a forge whose one pull request is into no branch of the stage: it is found only by who asks for
// those into any branch.
type oneElsewhere struct{ forge.Forge }

func (oneElsewhere) Find(_ context.Context, base, _ string) (*forge.PullRequest, error) {
	if base == "" {
		return &forge.PullRequest{Number: 1, State: forge.Open, Base: "hotfix"}, nil
	}
	return nil, forge.ErrNotFound
}

// The forge was asked for a pull request into the branch "" after an upgrade.
func TestAProposalOfAnEarlierVersionIsIntoTheBranchOfTheStage(t *testing.T) {
	known := &promotion.Proposal{Bundle: "app 2"}
	p := pulls{base: "main", head: "sluice/shop", forge: oneElsewhere{}, seen: &pullRequestCache{}, proposal: known}
	if found, err := p.read(t.Context()); err != nil || found != nil {
		t.Errorf("found %+v: %v", found, err)
	}
}
