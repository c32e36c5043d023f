// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// did fails the test unless exactly these actions were performed since the last time.
func (s *simulation) did(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.done); diff != "" {
		s.t.Errorf("actions: %s", diff)
	}
	s.done = nil
}

// heard fails the test unless exactly these events were told since the last time.
func (s *simulation) heard(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.told); diff != "" {
		s.t.Errorf("events: %s", diff)
	}
	s.told = nil
}

func TestWhatIsDoneForARelease(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.did()
	s.release("2")
	s.verification["staging/@2"] = VerificationPending
	s.settle()
	s.did(`Write app 2 to staging[] as Promotion instead of app 1 for "": `, "Verify app 2 in staging since 12:00")
	delete(s.verification, "staging/@2")
	s.verification["production/@2"], s.places["production/"].evidence = VerificationFailed, "Canary failed"
	s.settle()
	s.did(`Write app 2 to production[] as Promotion instead of app 1 for "": `,
		`Write app 1 to production[] as Rollback instead of app 2 for "": Canary failed`)
}

func TestWhatIsDoneForACommand(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.release("2")
	s.settle()
	s.done, s.told = nil, nil
	s.command(sluicev1.CommandRollback, "production")
	s.settle()
	s.did(`Write app 1 to production[] as Rollback instead of app 2 for "alice": `)
	s.heard("alice rolled back to app 1 and held the stage", "production has app 1 again", "app 1 is verified in production")
	if l := s.state.Stages["production"].Landings[0]; l.By != "alice" || l.Kind != sluicev1.LandingRollback {
		t.Errorf("landing %+v", l)
	}
	if hold := s.state.Stages["production"].Hold; hold == nil || hold.Reason != "rolled back" {
		t.Errorf("hold %+v", hold)
	}
	for _, c := range []struct {
		verb sluicev1.CommandVerb
		end  bool
		says string
	}{
		{sluicev1.CommandHold, true, "alice ended the hold"},
		{sluicev1.CommandApprove, false, "alice approved app 2"},
		{sluicev1.CommandOverride, false, "alice opened windows and freezes for app 2"},
		{sluicev1.CommandPromote, false, "alice promoted app 2"},
	} {
		s.now = s.now.Add(time.Second)
		s.told = nil
		s.command(c.verb, "production", func(given *Command) {
			given.End = c.end
			if !c.end {
				given.Bundle = s.bundle("2")
			}
		})
		s.decide()
		s.heard(c.says)
	}
	s.settle()
	s.want(map[string]string{"production": "2"})
}

func TestWhatIsDoneForAPullRequest(t *testing.T) {
	drafts := func(p *sluicev1.Stage) {
		p.Write.PullRequest.Draft, p.Approval = true, &sluicev1.Approval{}
	}
	s := proposing(t, drafts)
	s.did(`Write app 2 to staging[] as Promotion instead of app 1 for "": `, "Propose app 2 as #0, draft true",
		"SetStatus false on head4: 0 of 1 approvals of app 2; `sluice pipeline approve` gives one")
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.did("SetDraft false", "SetStatus true on head4: all gates are open")
	s.prs["production"].Checks = pullrequest.ChecksPassed
	s.settle()
	s.did("SetStatus true on head4: all gates are open", "Merge #1 at head4, queue false")
}

func TestAMergeQueueIsEnteredOnce(t *testing.T) {
	s := proposing(t)
	s.prs["production"].Checks, s.prs["production"].MustQueue = pullrequest.ChecksPassed, true
	s.done = nil
	d := Decide(s.state, s.observe(), s.now)
	for _, action := range d.Actions {
		s.note(action)
	}
	s.did("SetStatus true on head4: all gates are open", "Merge #1 at head4, queue true")
	s.prs["production"].Queued = true
	s.release("3")
	s.pass(time.Hour)
	for _, text := range s.done {
		if text[:5] == "Merge" || text[:7] == "Propose" {
			t.Errorf("while it is queued: %s", text)
		}
	}
}

// A pull request whose checks fail in the queue, or that a person takes out of it, was put back at once, for ever.
func TestWhatLeftTheMergeQueueIsNotPutBack(t *testing.T) {
	s := proposing(t)
	pr := s.prs["production"]
	pr.Checks, pr.MustQueue, pr.Queued = pullrequest.ChecksPassed, true, true
	s.settle()
	pr.Queued = false
	s.done = nil
	s.pass(time.Hour)
	s.did("SetStatus true on head4: all gates are open")
	if gates := s.status("production").Waiting; len(gates) != 1 || !strings.Contains(gates[0].Message, "#1 left the merge queue") {
		t.Errorf("it waits for %+v", gates)
	}
	s.release("3")
	d := s.last
	for range 3 {
		d = Decide(s.state, s.observe(), s.now)
		s.state = d.State
		for _, action := range d.Actions {
			if _, isMerge := action.(Merge); !isMerge {
				s.perform(action)
			}
		}
	}
	if !slices.ContainsFunc(d.Actions, func(a Action) bool { m, ok := a.(Merge); return ok && m.Queue }) {
		t.Errorf("the next bundle is not queued: %+v", d.Actions)
	}
}

func TestOneCommentAboutCommitsOfOthers(t *testing.T) {
	s := proposing(t)
	s.done = nil
	pr := s.prs["production"]
	pr.Head, pr.HeadOurs = "theirs", false
	s.pass(time.Hour)
	s.did("Comment on #1: Somebody else committed t", "SetStatus true on theirs: all gates are open")
	pr.Head = "more of theirs"
	s.settle()
	s.did("Comment on #1: Somebody else committed t", "SetStatus true on more of theirs: all gates are open")
}

func TestWhyAPullRequestIsClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		given func(*simulation)
		want  string
	}{
		"its bundle is there": {
			func(s *simulation) { s.commit("production", "", "2", "bob") },
			"Closed by Sluice: production has app 2 already.",
		},
		"its bundle is quarantined": {func(s *simulation) {
			s.state.Quarantine = []Quarantine{{Bundle: s.bundle("2"), At: s.now, Reason: "it leaks"}}
		}, "Closed by Sluice: app 2 is in quarantine: it leaks."},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t)
			s.done = nil
			tc.given(s)
			s.settle()
			s.did("ClosePullRequest #1: " + tc.want)
		})
	}
}

func TestWhatPeopleDoWithAPullRequestIsTold(t *testing.T) {
	s := proposing(t)
	s.told = nil
	s.prs["production"].Open, s.prs["production"].ClosedBy = false, "bob"
	s.settle()
	s.heard("bob closed pull request #1: app 2 is not proposed to production again; reopening it, or `sluice pipeline promote`, ends that")
	s.prs["production"].Open = true
	s.settle()
	s.heard("pull request #1 is open again: it proposes app 2")
	s.prs["production"].Open, s.prs["production"].ClosedBy = false, ""
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
		t.Errorf("it is not proposed again: %+v", pr)
	}
}

// An approved pull request keeps its bundle. Its gates were those of the newer one.
func TestAnApprovalOfANewerBundleMergesNoOlderOne(t *testing.T) {
	s := proposing(t, func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} })
	s.prs["production"].Approved, s.prs["production"].Checks = true, pullrequest.ChecksPassed
	s.release("3")
	s.settle()
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("3") })
	s.settle()
	s.want(map[string]string{"staging": "3", "production": "1"})
	s.wantGate("production", sluicev1.GateApproval)
	s.now = s.now.Add(time.Second)
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	if s.merged == 0 {
		t.Error("it is not merged")
	}
}

func TestHowLongAWordStands(t *testing.T) {
	needs := func(a sluicev1.Approval) func(*sluicev1.Stage) {
		return func(p *sluicev1.Stage) {
			p.Approval = &a
			p.Windows = []sluicev1.Window{{
				Name: "w", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch},
				To: &metav1.Time{Time: epoch.Add(time.Hour)},
			}}
		}
	}
	released := func(t *testing.T, a sluicev1.Approval) *simulation {
		t.Helper()
		s := newSimulation(t, staging(), with(production(), needs(a)))
		s.settle()
		s.release("2")
		s.settle()
		return s
	}
	no := false
	for name, tc := range map[string]struct {
		approval sluicev1.Approval
		given    func(*simulation)
		has      string
	}{
		"an approval": {
			sluicev1.Approval{}, func(s *simulation) { s.command(sluicev1.CommandApprove, "production") }, "2",
		},
		"one that is not needed": {sluicev1.Approval{Required: &no}, func(*simulation) {}, "2"},
		"one that the spec lets expire": {
			sluicev1.Approval{ValidFor: minutes(30)},
			func(s *simulation) { s.command(sluicev1.CommandApprove, "production") }, "1",
		},
		"one that its giver lets expire":     {sluicev1.Approval{}, until(30), "1"},
		"the earlier of both":                {sluicev1.Approval{ValidFor: minutes(120)}, until(30), "1"},
		"the earlier of both, the other way": {sluicev1.Approval{ValidFor: minutes(30)}, until(120), "1"},
		"the same person twice": {sluicev1.Approval{MinApprovals: 2}, func(s *simulation) {
			s.command(sluicev1.CommandApprove, "production")
			s.decide()
			s.now = s.now.Add(time.Second)
			s.command(sluicev1.CommandApprove, "production")
		}, "1"},
		"two people": {sluicev1.Approval{MinApprovals: 2}, func(s *simulation) {
			s.command(sluicev1.CommandApprove, "production")
			s.decide()
			s.now = s.now.Add(time.Second)
			s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.By = "bob" })
		}, "2"},
		"of the one who asked for it": {sluicev1.Approval{}, func(s *simulation) {
			s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			s.command(sluicev1.CommandApprove, "production")
		}, "1"},
		"of another bundle": {sluicev1.Approval{}, func(s *simulation) {
			s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("1") })
		}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := released(t, tc.approval)
			tc.given(s)
			s.pass(2 * time.Hour)
			s.want(map[string]string{"production": tc.has})
		})
	}
}

// until approves until so many minutes have gone by.
func until(n int) func(*simulation) {
	return func(s *simulation) {
		s.command(sluicev1.CommandApprove, "production", func(c *Command) {
			c.Until = &metav1.Time{Time: s.now.Add(time.Duration(n) * time.Minute)}
		})
	}
}

func TestAHoldAndAnOverrideEndByThemselves(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.command(sluicev1.CommandHold, "production", func(c *Command) { c.Until = &metav1.Time{Time: s.now.Add(time.Hour)} })
	s.release("2")
	s.pass(59 * time.Minute)
	s.want(map[string]string{"production": "1"})
	s.pass(time.Minute)
	s.want(map[string]string{"production": "2"})

	s = newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) {
		p.Windows = []sluicev1.Window{{
			Name: "w", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch},
			To: &metav1.Time{Time: epoch.Add(time.Hour)},
		}}
	}))
	s.settle()
	s.verification["staging/@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandOverride, "production", func(c *Command) {
		c.Bundle, c.Until = s.bundle("2"), &metav1.Time{Time: s.now.Add(time.Minute)}
	})
	s.pass(2 * time.Minute)
	delete(s.verification, "staging/@2")
	s.settle()
	s.want(map[string]string{"production": "1"})
}

// Whoever may promote could bring back what was taken out, past a freeze that somebody had opened for it once, and without
// the approvals of then.
func TestAWordStandsForOneLanding(t *testing.T) {
	for name, tc := range map[string]struct {
		verb sluicev1.CommandVerb
		gate sluicev1.GateType
	}{
		"an approval": {sluicev1.CommandApprove, sluicev1.GateApproval},
		"an override": {sluicev1.CommandOverride, sluicev1.GateFreeze},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), production())
			s.settle()
			if tc.verb == sluicev1.CommandApprove {
				s.spec.Stages[1].Approval = &sluicev1.Approval{}
			} else {
				s.freezes = []Freeze{{Name: "december", Stages: []string{"production"}, Windows: []sluicev1.Window{{
					Name: "w", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch}, To: &metav1.Time{Time: epoch.Add(100 * time.Hour)},
				}}}}
			}
			s.release("2")
			s.settle()
			s.command(tc.verb, "production")
			s.settle()
			s.want(map[string]string{"production": "2"})
			s.now = s.now.Add(time.Hour)
			s.commit("production", "", "1", "bob")
			s.settle()
			s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle, c.By = s.bundle("2"), "mallory" })
			s.settle()
			s.want(map[string]string{"production": "1"})
			s.wantGate("production", tc.gate)
			s.now = s.now.Add(time.Minute)
			s.command(tc.verb, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			s.settle()
			s.want(map[string]string{"production": "2"})
		})
	}
}

func TestWindowsOfRollbacks(t *testing.T) {
	for name, tc := range map[string]struct {
		about []sluicev1.WindowScope
		has   string
	}{
		"a window of promotions holds up no rollback": {nil, "1"},
		"one of rollbacks does":                       {[]sluicev1.WindowScope{sluicev1.WindowRollsBack}, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), production())
			s.settle()
			s.verification["production/@2"] = VerificationPending
			s.release("2")
			s.settle()
			s.spec.Stages[1].Windows = []sluicev1.Window{{
				Name: "w", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch},
				To: &metav1.Time{Time: epoch.Add(time.Hour)}, AppliesTo: tc.about,
			}}
			s.verification["production/@2"] = VerificationFailed
			s.pass(30 * time.Minute)
			s.want(map[string]string{"production": tc.has})
			s.pass(time.Hour)
			s.want(map[string]string{"production": "1"})
		})
	}
}

func TestCommandsInTheOrderInWhichTheyWereGiven(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.told = nil
	s.command(sluicev1.CommandHold, "staging", func(c *Command) { c.At = metav1.NewTime(s.now.Add(2 * time.Second)) })
	s.command(sluicev1.CommandHold, "production", func(c *Command) { c.At, c.By = metav1.NewTime(s.now.Add(time.Second)), "bob" })
	s.decide()
	s.heard("bob held the stage", "alice held the stage")
	s.decide()
	s.heard()
}

func TestAnArtifactWithoutAVersion(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
	s.decide()
	if s.last.Candidate != nil || s.last.Waiting != "artifact web has no version" {
		t.Errorf("%v, %q", s.last.Candidate, s.last.Waiting)
	}
	s.wantGate("staging", sluicev1.GateUpstream)
}
