// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// proposing is a pipeline whose production has an open pull request for version 2, which
// waits for its checks.
func proposing(t *testing.T, change ...func(*sluicev1.Stage)) *simulation {
	t.Helper()
	stage := with(production(), pullRequests)
	for _, f := range change {
		f(&stage)
	}
	s := newSimulation(t, staging(), stage)
	s.settle()
	s.release("2")
	s.settle()
	if pr := s.prs["production"]; pr == nil || !pr.Open || s.proposed["production"] != "2" {
		t.Fatalf("no pull request for 2: %+v", pr)
	}
	return s
}

func TestAPullRequestIsMergedWhenItIsGreen(t *testing.T) {
	s := proposing(t)
	s.wantGate("production", sluicev1.GateReview)
	s.prs["production"].Checks = pullrequest.ChecksPassed
	s.settle()
	s.want(map[string]string{"production": "2"})
	if s.state.Stages["production"].Proposal != nil {
		t.Error("it is still proposed")
	}
	if l := s.state.Stages["production"].Landings[0]; l.Kind != sluicev1.LandingPromotion {
		t.Errorf("landed as %s", l.Kind)
	}
}

func TestWhoMerges(t *testing.T) {
	for name, tc := range map[string]struct {
		auto   sluicev1.AutoMerge
		window bool
		checks pullrequest.Checks
		merged bool
		asked  bool
	}{
		"Sluice, once all is green":             {auto: sluicev1.AutoMergeSelf, checks: pullrequest.ChecksPassed, merged: true},
		"a person":                              {auto: sluicev1.AutoMergeNever, checks: pullrequest.ChecksPassed},
		"the forge, when it is asked to":        {auto: sluicev1.AutoMergePlatform, checks: pullrequest.ChecksPending, asked: true},
		"not the forge, once all is green":      {auto: sluicev1.AutoMergePlatform, checks: pullrequest.ChecksPassed, merged: true, asked: true},
		"not the forge, when there are windows": {auto: sluicev1.AutoMergePlatform, window: true, checks: pullrequest.ChecksPending},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t, func(p *sluicev1.Stage) {
				p.Write.PullRequest.AutoMerge = tc.auto
				if tc.window {
					p.Windows = []sluicev1.Window{{Name: "always", Kind: sluicev1.WindowAllow, Cron: "0 * * * *", Duration: minutes(60)}}
				}
			})
			s.prs["production"].Checks = tc.checks
			s.settle()
			if pr := s.prs["production"]; pr.Merged != tc.merged || pr.AutoMerge != tc.asked {
				t.Errorf("merged %v, asked the forge %v", pr.Merged, pr.AutoMerge)
			}
		})
	}
}

func TestANewerBundleChangesThePullRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		given func(*pullrequest.PullRequest)
		want  string // what is proposed in the end
	}{
		"that nobody approved":          {func(*pullrequest.PullRequest) {}, "3"},
		"but not one that is approved":  {func(pr *pullrequest.PullRequest) { pr.Approved = true }, "2"},
		"nor one in the merge queue":    {func(pr *pullrequest.PullRequest) { pr.Queued = true }, "2"},
		"nor one that is to be kept":    {func(pr *pullrequest.PullRequest) { pr.Keep = true }, "2"},
		"nor one that people commit to": {func(pr *pullrequest.PullRequest) { pr.Head, pr.HeadOurs = "theirs", false }, "2"},
		"unless they hand it back":      {func(pr *pullrequest.PullRequest) { pr.Head, pr.HeadOurs, pr.Retry = "theirs", false, true }, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t)
			tc.given(s.prs["production"])
			s.release("3")
			s.settle()
			if got := s.proposed["production"]; got != tc.want {
				t.Errorf("it proposes %s, want %s", got, tc.want)
			}
			if pr := s.prs["production"]; pr.Number != 1 || !pr.Open {
				t.Errorf("it is %+v", pr)
			}
		})
	}
}

func TestAnApprovedBundleInQuarantineIsNotMerged(t *testing.T) {
	s := proposing(t)
	s.prs["production"].Approved = true
	s.state.Quarantine = append(s.state.Quarantine, Quarantine{Bundle: s.bundle("2"), At: s.now, Reason: "bad"})
	s.settle()
	if pr := s.prs["production"]; pr.Open {
		t.Errorf("it is open: %+v", pr)
	}
}

func TestWhoClosesAPullRequest(t *testing.T) {
	t.Run("a person: its bundle is not proposed again, the next is", func(t *testing.T) {
		s := proposing(t)
		s.prs["production"].Open, s.prs["production"].ClosedBy = false, "bob"
		s.pass(time.Hour)
		if pr := s.prs["production"]; pr.Open || pr.Number != 1 {
			t.Errorf("it was proposed again: %+v", pr)
		}
		s.wantGate("production", sluicev1.GateContent) // why not, and what to do
		s.release("3")
		s.settle()
		if pr := s.prs["production"]; !pr.Open || pr.Number != 2 || s.proposed["production"] != "3" {
			t.Errorf("the next is not proposed: %+v", pr)
		}
	})
	t.Run("who then opens it again", func(t *testing.T) {
		s := proposing(t)
		s.prs["production"].Open, s.prs["production"].ClosedBy = false, "bob"
		s.settle()
		s.prs["production"].Open = true
		s.prs["production"].Checks = pullrequest.ChecksPassed
		s.settle()
		s.want(map[string]string{"production": "2"})
	})
	t.Run("we: no veto", func(t *testing.T) {
		s := proposing(t)
		s.prs["production"].Open, s.prs["production"].ClosedByUs = false, true
		s.settle()
		if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
			t.Errorf("it is not proposed again: %+v", pr)
		}
	})
	t.Run("we, because the content has it already", func(t *testing.T) {
		s := proposing(t)
		s.commit("production", "", "2", "bob")
		s.settle()
		if pr := s.prs["production"]; pr.Open || !pr.ClosedByUs {
			t.Errorf("it is %+v", pr)
		}
	})
}

func TestAPersonsMergeAndRevert(t *testing.T) {
	s := proposing(t)
	s.merge("production", "bob")
	s.settle()
	s.want(map[string]string{"production": "2"})
	s.commit("production", "", "1", "bob")
	s.pass(time.Hour)
	s.want(map[string]string{"production": "1"})
	if pr := s.prs["production"]; pr.Open || pr.Number != 1 {
		t.Errorf("it was proposed again: %+v", pr)
	}
}

// A squashed commit has the author of the pull request, which is us: the history named a program
// for what a person had decided.
func TestALandingIsOfWhoMergedIt(t *testing.T) {
	for _, author := range []string{"bob", "bot"} {
		s := proposing(t)
		s.mergeInTheNameOf(author, "production", "bob")
		s.settle()
		s.want(map[string]string{"production": "2"})
		if l := s.state.Stages["production"].Landings[0]; l.By != "bob" || l.Kind != sluicev1.LandingPromotion {
			t.Errorf("a commit by %s: it is %+v", author, l)
		}
		s.commit("production", "", "1", "carol")
		s.settle()
		if l := s.state.Stages["production"].Landings[0]; l.By != "carol" {
			t.Errorf("what came after it is of %s", l.By)
		}
	}
}

func TestGatesHoldMergingAndNotOpening(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) {
		p.Windows = []sluicev1.Window{{Name: "evening", Kind: sluicev1.WindowAllow, Cron: "0 18 * * *", Duration: minutes(60)}}
		p.Write.PullRequest.Draft = true
	})
	pr := s.prs["production"]
	pr.Checks, pr.AutoMerge = pullrequest.ChecksPassed, true
	s.settle()
	if pr.Merged || pr.AutoMerge || !pr.Draft {
		t.Errorf("outside of the window: %+v", pr)
	}
	s.pass(6 * time.Hour)
	s.want(map[string]string{"production": "2"})
}

// The forge had been asked to merge by itself, and still did after the spec said that a person merges.
func TestAForgeMergesNothingByItselfOnceTheSpecSaysWhoDoes(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) { p.Write.PullRequest.AutoMerge = sluicev1.AutoMergePlatform })
	pr := s.prs["production"]
	if !pr.AutoMerge {
		t.Fatal("the forge is not asked to merge")
	}
	s.spec.Stages[1].Write.PullRequest.AutoMerge = sluicev1.AutoMergeNever
	s.settle()
	if pr.AutoMerge {
		t.Error("the forge may merge")
	}
	pr.AutoMerge = true // a person asked it
	s.settle()
	if !pr.AutoMerge {
		t.Error("what a person asked for is taken back")
	}
}

// A pull request that somebody had made one into another branch was merged into that, with all that the stage's branch has.
func TestAPullRequestIntoAnotherBranchIsNotMerged(t *testing.T) {
	t.Run("since a person changed it: it is left alone", func(t *testing.T) {
		s := proposing(t)
		pr := s.prs["production"]
		pr.Base, pr.Checks, pr.Approved = "hotfix", pullrequest.ChecksPassed, true
		s.done = nil
		s.release("3")
		s.pass(time.Hour)
		s.did("Write app 3 to staging[] as Promotion instead of app 2 for \"\": ")
		const want = "#1 is into branch hotfix now, so that it is left alone"
		if gates := s.status("production").Waiting; len(gates) != 1 || !strings.HasPrefix(gates[0].Message, want) {
			t.Errorf("it waits for %+v", gates)
		}
		pr.Base, pr.Approved = "", false
		s.settle()
		s.want(map[string]string{"production": "3"})
	})
	t.Run("since the spec says another branch: the next is", func(t *testing.T) {
		s := proposing(t)
		s.bases["production"] = "release"
		s.prs["production"].Checks = pullrequest.ChecksPassed
		s.done = nil
		s.settle()
		s.did("ClosePullRequest #1: Closed by Sluice: production is written to branch release now.", "Propose app 2 as #0, draft false",
			"SetStatus true on head5: all gates are open")
		if pr := s.prs["production"]; pr.Number != 2 || pr.Base != "release" {
			t.Errorf("the next is %+v", pr)
		}
	})
}

// The proposal was forgotten before its pull request was closed. When that failed, or the process was killed
// before, nobody closed it any more: it was left alone, or nobody saw it.
func TestAPullRequestIntoTheBranchBeforeIsKnownUntilItIsClosed(t *testing.T) {
	for name, ends := range map[string]func(map[string]*pullrequest.PullRequest){
		"we close it":        func(map[string]*pullrequest.PullRequest) {},
		"a person closes it": func(prs map[string]*pullrequest.PullRequest) { prs["production"].Open = false },
		"it is merged": func(prs map[string]*pullrequest.PullRequest) {
			prs["production"].Open, prs["production"].Merged = false, true
		},
		"the next process does not find it any more": func(prs map[string]*pullrequest.PullRequest) { delete(prs, "production") },
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t)
			s.prs["production"].Base, s.state.Stages["production"].Proposal.Base = "main", "main"
			s.bases["production"] = "release"
			for range 2 {
				d := Decide(s.state, s.observe(), s.now)
				s.state = d.State // it is kept, and nothing is performed
				closes := slices.ContainsFunc(d.Actions, func(a Action) bool {
					c, is := a.(ClosePullRequest)
					return is && c.Number == 1
				})
				if p := s.state.Stages["production"].Proposal; !closes || p == nil || p.Number != 1 {
					t.Fatalf("#1 is closed: %t; the proposal is %+v", closes, p)
				}
			}
			ends(s.prs)
			s.settle()
			if pr, p := s.prs["production"], s.state.Stages["production"]; pr == nil || !pr.Open || pr.Base != "release" || len(p.Ignored) > 0 {
				t.Errorf("the next is %+v: %+v", pr, p)
			}
		})
	}
}

// An earlier version noted no branch with a proposal. After the upgrade it was taken for one into another branch, and
// forgotten once it was closed: the bundle was proposed again to the person who had closed it.
func TestHowAProposalOfAnEarlierVersionEndsIsNoted(t *testing.T) {
	upgraded := func(t *testing.T) *simulation {
		t.Helper()
		s := proposing(t)
		if p := s.state.Stages["production"].Proposal; p == nil || p.Base != "" {
			t.Fatalf("the proposal is %+v", p)
		}
		s.bases["production"], s.prs["production"].Base, s.prs["production"].Open = "main", "main", false
		return s
	}
	t.Run("a person closed it", func(t *testing.T) {
		s := upgraded(t)
		s.settle()
		if ignored := s.state.Stages["production"].Ignored; len(ignored) != 1 || ignored[0].Number != 1 || s.prs["production"].Open {
			t.Errorf("ignored %+v; there is %+v", ignored, s.prs["production"])
		}
	})
	t.Run("it was merged", func(t *testing.T) {
		s := upgraded(t)
		s.prs["production"].Merged = true
		s.settle()
		if p := s.state.Stages["production"].Proposal; p == nil || p.Merged == nil {
			t.Errorf("the proposal is %+v", p)
		}
	})
}

// A pull request that a person made a draft, to stop it, was marked as ready at once, and merged.
func TestADraftOfAPersonWaitsForThem(t *testing.T) {
	s := proposing(t)
	pr := s.prs["production"]
	pr.Draft, pr.Checks = true, pullrequest.ChecksPassed
	s.pass(time.Hour)
	s.want(map[string]string{"production": "1"})
	if gates := s.status("production").Waiting; len(gates) != 1 || gates[0].Message != "#1 is a draft: a person has to mark it as ready" {
		t.Errorf("it waits for %+v", gates)
	}
	s.release("3")
	s.settle()
	if !pr.Draft || s.proposed["production"] != "3" {
		t.Errorf("the next bundle makes it %+v", pr)
	}
	pr.Draft = false
	s.settle()
	s.want(map[string]string{"production": "3"})
}

func TestAConflictIsMadeAnew(t *testing.T) {
	for name, given := range map[string]func(*pullrequest.PullRequest){
		"a conflict":                          func(pr *pullrequest.PullRequest) { pr.Conflicted = true },
		"a branch that takes only what is on": func(pr *pullrequest.PullRequest) { pr.Behind, pr.MustBeUpToDate = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t)
			was := s.prs["production"].Head
			given(s.prs["production"])
			s.settle()
			if pr := s.prs["production"]; pr.Head == was || pr.Conflicted || pr.Number != 1 {
				t.Errorf("it is %+v", pr)
			}
		})
	}
}

func TestARollbackIsProposedOrCommitted(t *testing.T) {
	for name, tc := range map[string]struct {
		mode sluicev1.RollbackMode
		has  string
	}{
		"proposed":                      {sluicev1.RollbackByWrite, "2"},
		"committed, past pull requests": {sluicev1.RollbackByCommit, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t, func(p *sluicev1.Stage) { p.OnFailure.Mode = tc.mode })
			s.verification["production/@2"] = VerificationFailed
			s.prs["production"].Checks = pullrequest.ChecksPassed
			s.settle()
			s.want(map[string]string{"production": tc.has})
			if proposed := s.proposed["production"]; tc.has == "2" && proposed != "1" {
				t.Errorf("it proposes %s", proposed)
			}
		})
	}
}

// What was decided is kept before it is pushed. After a crash in between, the pull request
// still had the bundle before, and was merged as if it had the new one.
func TestOnlyTheHeadThatWasPushedForTheBundleIsMerged(t *testing.T) {
	s := proposing(t)
	s.release("3")
	s.settle()
	s.state = Decide(s.state, s.observe(), s.now).State
	s.prs["production"].Head = "of version 2"
	s.prs["production"].Checks = pullrequest.ChecksPassed
	s.done = nil
	s.settle()
	if len(s.done) == 0 || s.done[0] != "Propose app 3 as #1, draft false" {
		t.Errorf("did %q", s.done)
	}
	s.want(map[string]string{"production": "3"})
}

// Gitea does not tell whether it was asked to merge by itself, so that it was never asked
// not to when a window closed.
func TestWhatAForgeWasAskedToMergeIsKept(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) { p.Write.PullRequest.AutoMerge = sluicev1.AutoMergePlatform })
	kept := func() bool { return s.state.Stages["production"].Proposal.AutoMerge }
	s.prs["production"].Checks = pullrequest.ChecksPending
	s.settle()
	if !kept() {
		t.Fatal("it is not kept that the forge is to merge")
	}
	s.release("3")
	s.settle()
	if s.proposed["production"] != "3" || !kept() {
		t.Errorf("it is forgotten with the bundle before: %+v", s.state.Stages["production"].Proposal)
	}
	s.spec.Stages[1].Windows = []sluicev1.Window{{
		Name: "night", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch},
		To: &metav1.Time{Time: epoch.Add(24 * time.Hour)},
	}}
	s.settle()
	if s.prs["production"].AutoMerge || kept() {
		t.Error("the forge may merge in the window")
	}
}

func TestAFreezeToComeEndsAutoMerge(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) { p.Write.PullRequest.AutoMerge = sluicev1.AutoMergePlatform })
	s.prs["production"].Checks = pullrequest.ChecksPending
	s.settle()
	if !s.prs["production"].AutoMerge {
		t.Fatal("the forge is not asked to merge")
	}
	s.freezes = []Freeze{{Name: "holidays", Windows: []sluicev1.Window{
		{Name: "all", Kind: sluicev1.WindowDeny, Cron: "0 0 24 12 *", Duration: minutes(60)},
	}}}
	s.settle()
	if s.prs["production"].AutoMerge {
		t.Error("the forge may merge when the freeze begins")
	}
}

func TestWhoAskedForAPromotionDoesNotApproveItOnceItIsFrozen(t *testing.T) {
	s := newSimulation(t, staging(), with(with(production(), pullRequests), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} }))
	s.settle()
	s.verification["staging/@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.prs["production"].Checks, s.prs["production"].Keep = pullrequest.ChecksPassed, true
	s.settle()
	s.want(map[string]string{"production": "1"})
	s.wantGate("production", sluicev1.GateApproval)
}

func TestARollbackWaitsForNoApprovedPullRequest(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) {
		p.Windows = []sluicev1.Window{{Name: "evening", Kind: sluicev1.WindowAllow, Cron: "0 18 * * *", Duration: minutes(60)}}
	})
	s.prs["production"].Approved, s.prs["production"].Checks = true, pullrequest.ChecksPassed
	s.verification["production/@hotfix"] = VerificationFailed
	s.commit("production", "", "hotfix", "bob")
	s.settle()
	s.want(map[string]string{"production": "1"})
}

func TestWhatWasMergedAndTakenOutIsProposedAgainByACommand(t *testing.T) {
	s := proposing(t)
	s.prs["production"].Open, s.prs["production"].Merged = false, true // and reverted before anybody looked
	s.settle()
	s.want(map[string]string{"production": "1"})
	s.wantGate("production", sluicev1.GateReview)
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
		t.Errorf("it is not proposed again: %+v: %s", pr, s.status("production").Message)
	}
}

func TestWhoClosesAPullRequestThatWasAskedForEndsIt(t *testing.T) {
	for name, given := range map[string]func(*simulation){
		"of a promotion": func(s *simulation) {
			s.verification["staging/@2"] = VerificationPending
			s.release("2")
			s.settle()
			s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
		},
		"of a rollback": func(s *simulation) {
			s.verification["production/@hotfix"] = VerificationFailed
			s.commit("production", "", "hotfix", "bob")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), with(production(), pullRequests))
			s.settle()
			given(s)
			s.settle()
			pr := s.prs["production"]
			pr.Open, pr.ClosedBy = false, "bob"
			s.pass(20 * time.Minute)
			if got := s.prs["production"]; got.Open {
				t.Fatalf("#%d was closed, and #%d is open", pr.Number, got.Number)
			}
			s.wantGate("production", sluicev1.GateContent)
			pr.Open, pr.ClosedBy = true, ""
			s.settle()
			if got := s.prs["production"]; !got.Open || got.Number != pr.Number {
				t.Errorf("it was opened again, and is %+v", got)
			}
			pr.Open, pr.ClosedBy = false, "bob"
			s.verification["staging/@2"] = VerificationPassed
			s.release("3")
			s.settle()
			if got := s.proposed["production"]; !s.prs["production"].Open || got != "3" {
				t.Errorf("the next one is not proposed, but %s: %s", got, s.status("production").Message)
			}
		})
	}
}

// A rollback whose pull request was merged, and taken out again, was waited for for ever, whatever
// people asked for.
func TestAPromotionGoesBeforeARollbackThatSomebodyTookOut(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), pullRequests))
	s.settle()
	s.verification["production/@hotfix"] = VerificationFailed
	s.commit("production", "", "hotfix", "bob")
	s.settle()
	s.merge("production", "bob")
	s.commit("production", "", "hotfix", "bob")
	s.settle()
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.prs["production"].Checks = pullrequest.ChecksPassed
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "2"})
}

func TestAMergedPullRequestIsShownUntilTheBranchHasIt(t *testing.T) {
	s := proposing(t)
	s.prs["production"].Open, s.prs["production"].Merged = false, true
	s.settle()
	pr := s.status("production").PullRequest
	if pr == nil || pr.State != "merged" || pr.Number != 1 || pr.Bundle != s.bundle("2") {
		t.Errorf("it shows %+v", pr)
	}
}

func TestAReopenedPullRequestDoesNotReplaceTheOneThatIsProposed(t *testing.T) {
	s := proposing(t)
	stage := s.state.Stages["production"]
	stage.Ignored = []Ignored{{Bundle: s.bundle("1"), Number: 1}}
	s.state.Stages["production"] = stage
	before := *stage.Proposal
	s.decide()
	if got := s.state.Stages["production"]; got.Proposal == nil || got.Proposal.Bundle != before.Bundle || len(got.Ignored) != 0 {
		t.Errorf("it proposes %+v and ignores %+v", got.Proposal, got.Ignored)
	}
}

// A pull request that was merged, and its bundle taken out, while no process ran.
func TestAPullRequestThatWasMergedBeforeItWasSeenOpenIsNamed(t *testing.T) {
	s := proposing(t)
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	stage := s.state.Stages["production"]
	proposal := *stage.Proposal
	proposal.Number, proposal.Head = 0, ""
	stage.Proposal = &proposal
	s.state.Stages["production"] = stage
	s.prs["production"].Open, s.prs["production"].Merged = false, true
	s.settle()
	if p := s.state.Stages["production"].Proposal; p == nil || p.Number != 1 || p.Head != s.prs["production"].Head {
		t.Errorf("it is %+v", p)
	}
	s.pass(showsAfter)
	if want := "pull request #1 was merged, and somebody took app 2 out of production again"; !slices.Contains(s.told, want) {
		t.Errorf("told %q, want %q", s.told, want)
	}
}

func TestAPullRequestIntoAnotherBranchIsShownWhateverIsWanted(t *testing.T) {
	s := proposing(t)
	s.commit("production", "", "2", "bob") // nothing more is wanted
	s.prs["production"].Base = "release"
	s.settle()
	if pr := s.status("production").PullRequest; pr == nil || pr.Number != 1 || pr.State != "open" {
		t.Errorf("it shows %+v", pr)
	}
	s.prs["production"].Base = ""
	s.settle()
	if pr := s.status("production").PullRequest; pr != nil {
		t.Errorf("one that is being closed is shown: %+v", pr)
	}
}
