// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// A promotion that was asked for while the bundle went from wave to wave was never over: the stage
// was given nothing else any more.
func TestWhatIsAskedForOnItsWayThroughTheWavesEnds(t *testing.T) {
	s := regions(t)
	s.verification["production/eu@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	delete(s.verification, "production/eu@2")
	s.pass(time.Minute)
	s.wantRegions("2", "2", "2")
	s.release("3")
	s.pass(time.Minute)
	s.wantRegions("3", "3", "3")
}

// What was written to one target, and taken out of another in the same moment, was taken for a
// landing after it: it was written once more.
func TestWhoTakesABundleOutOfOneTargetWhileItIsWrittenToAnotherWins(t *testing.T) {
	s := regions(t)
	s.verification["production/us@2"] = VerificationPending
	s.release("2")
	for s.places["production/us"].versions["app"] != "2" {
		s.decide()
	}
	s.now = s.now.Add(time.Minute)
	s.commit("production", "eu", "0.8", "bob")
	s.pass(10 * time.Minute)
	s.wantRegions("0.8", "2", "2")
}

// The same where nobody had looked at the target since it was written.
func TestWhoTakesABundleOutOfATargetOfAWaveAtOnceWins(t *testing.T) {
	s := regions(t)
	s.release("2")
	for s.places["production/asia"].versions["app"] != "2" {
		s.decide()
	}
	s.now = s.now.Add(time.Minute)
	s.commit("production", "asia", "1", "bob")
	s.pass(10 * time.Minute)
	s.wantRegions("2", "2", "1")
}

// Somebody gave a bundle to a later wave: the earlier one was given it, and no verdict of that was
// waited for.
func TestAWaveWaitsForTheOneBeforeItWhoeverGaveThatTheBundle(t *testing.T) {
	s := regions(t)
	s.verification["production/eu@2"] = VerificationPending
	s.verification["staging/@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.commit("production", "us", "2", "bob")
	s.settle()
	delete(s.verification, "staging/@2")
	s.pass(10 * time.Minute)
	s.wantRegions("2", "2", "1")
	s.wantGate("production", sluicev1.GateVerdict)
	delete(s.verification, "production/eu@2")
	s.pass(10 * time.Minute)
	s.wantRegions("2", "2", "2")
}

// Who took a bundle out of one target, and then gave it to another, had it written to both.
func TestWhoPutsABundleIntoOneTargetAsksForNoOther(t *testing.T) {
	s := regions(t)
	s.release("2")
	s.settle()
	for _, c := range []struct{ target, version string }{{"eu", "1"}, {"asia", "1"}, {"asia", "2"}} {
		s.now = s.now.Add(time.Minute)
		s.commit("production", c.target, c.version, "bob")
		s.pass(time.Minute)
	}
	s.pass(time.Hour)
	s.wantRegions("1", "2", "2")
}

// A process crashed before it pushed: the pull request of the last bundle, which was merged, was
// taken for that of this one, and nothing was proposed any more.
func TestAnEarlierPullRequestIsNotTakenForOneThatWasNotOpened(t *testing.T) {
	s := proposing(t)
	s.merge("production", "bob")
	s.settle()
	s.release("3")
	for p := (*Proposal)(nil); p == nil || p.Bundle != s.bundle("3"); p = s.state.Stages["production"].Proposal {
		s.state = Decide(s.state, s.observe(), s.now).State // and no action
		s.places["staging/"].versions["app"] = "3"
	}
	s.settle()
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 || s.proposed["production"] != "3" {
		t.Errorf("%+v proposes %s", pr, s.proposed["production"])
	}
}

// What somebody merged and took out again before anybody looked kept the stage from all that came
// after it, if a person had asked for it.
func TestWhatIsTakenOutAfterItsMergeHoldsUpNothing(t *testing.T) {
	s := proposing(t)
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.merge("production", "bob")
	s.commit("production", "", "1", "bob")
	s.pass(time.Minute)
	s.wantGate("production", sluicev1.GateReview)
	s.pass(time.Hour)
	s.release("3")
	s.pass(time.Minute)
	if pr := s.prs["production"]; !pr.Open || s.proposed["production"] != "3" {
		t.Errorf("%+v proposes %s: %+v", pr, s.proposed["production"], s.status("production"))
	}
}

// A pull request of one wave was taken for one of all targets once it was opened again.
func TestAPullRequestThatIsOpenedAgainIsAboutTheSameTargets(t *testing.T) {
	s := newSimulation(t, staging(), with(with(production(), pullRequests), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.settle()
	s.release("2")
	s.settle()
	pr := s.prs["production"]
	pr.Open, pr.ClosedBy = false, "bob"
	s.settle()
	pr.Open, pr.ClosedBy = true, ""
	s.settle()
	s.merge("production", "bob")
	s.pass(time.Hour)
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
		t.Fatalf("the next wave is not proposed: %+v", s.status("production"))
	}
	s.merge("production", "bob")
	s.pass(time.Hour)
	s.wantRegions("2", "2", "2")
}

// What was found in some targets was taken for what goes to all: a stage whose state was forgotten
// in the middle of a bundle's way went on with whatever its first target had, without a reason.
func TestWhatIsFoundInSomeTargetsGoesToNoOther(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.commit("production", "eu", "1.5", "sluice")
	s.pass(time.Hour)
	if got := s.status("production"); got.Phase != sluicev1.StageVerified {
		t.Errorf("%+v", got)
	}
	if got := s.places["production/us"].versions["app"]; got != "1" {
		t.Errorf("us has %s", got)
	}
	s.release("2")
	s.pass(time.Minute)
	s.wantRegions("2", "2", "2")
}
