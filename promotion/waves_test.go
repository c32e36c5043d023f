// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// regions are a pipeline whose production has a target in a wave of its own, and two after
// it.
func regions(t *testing.T) *simulation {
	t.Helper()
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.settle()
	return s
}

// wantRegions fails the test unless the targets have these versions.
func (s *simulation) wantRegions(eu, us, asia string) {
	s.t.Helper()
	for target, want := range map[string]string{"eu": eu, "us": us, "asia": asia} {
		if got := s.places["production/"+target].versions["app"]; got != want {
			s.t.Errorf("%s has %s, want %s", target, got, want)
		}
	}
}

func TestWavesGoOneAfterTheOther(t *testing.T) {
	s := regions(t)
	s.verification["production/eu@2"] = VerificationPending
	s.release("2")
	s.pass(20 * time.Minute)
	s.wantRegions("2", "1", "1")
	delete(s.verification, "production/eu@2")
	s.verification["production/us@2"] = VerificationPending
	s.pass(20 * time.Minute) // each wave has its own time
	s.wantRegions("2", "2", "2")
	if got := s.status("production").Phase; got != sluicev1.StageVerifying {
		t.Errorf("phase %s", got)
	}
	s.pass(11 * time.Minute)
	s.wantRegions("1", "1", "1")
	if q := s.state.quarantined(s.bundle("2")); q == nil || q.Reason != "not verified within 30m: us: not verified yet" {
		t.Errorf("quarantine %+v", q)
	}
}

func TestAFailureInALaterWaveTakesAllBack(t *testing.T) {
	s := regions(t)
	s.ready["production/asia@2"], s.places["production/asia"].why = ReadinessFailed, "pods crash"
	s.release("2")
	s.settle()
	s.wantRegions("1", "1", "1")
	if q := s.state.quarantined(s.bundle("2")); q == nil || q.Reason != "asia: pods crash" {
		t.Errorf("quarantine %+v", q)
	}
}

func TestWhoCommitsToOneTargetCommitsToNoOther(t *testing.T) {
	s := regions(t)
	s.commit("production", "us", "hotfix", "bob")
	s.pass(time.Hour)
	s.wantRegions("1", "hotfix", "1")
	if got := s.status("production"); got.Phase != sluicev1.StageVerified {
		t.Errorf("%+v", got)
	}
	s.release("2")
	s.settle()
	s.wantRegions("2", "2", "2")
}

func TestWhoTakesABundleOutOfOneTargetWins(t *testing.T) {
	s := regions(t)
	s.release("2")
	s.settle()
	s.wantRegions("2", "2", "2")
	s.now = s.now.Add(time.Minute)
	s.commit("production", "asia", "1", "bob")
	s.pass(time.Hour)
	s.wantRegions("2", "2", "1")
	s.release("3")
	s.settle()
	s.wantRegions("3", "3", "3")
}

func TestAHoldStopsTheNextWave(t *testing.T) {
	s := regions(t)
	s.verification["production/eu@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandHold, "production")
	delete(s.verification, "production/eu@2")
	s.pass(time.Hour)
	s.wantRegions("2", "1", "1")
	s.wantGate("production", sluicev1.GateHold)
}

func TestSeveralStagesBefore(t *testing.T) {
	named := func(name string) sluicev1.Stage {
		return with(staging(), func(s *sluicev1.Stage) { s.Name = name })
	}
	for name, tc := range map[string]struct {
		policy sluicev1.AfterPolicy
		has    string
	}{
		"all of them": {sluicev1.AfterAll, "1"},
		"any of them": {sluicev1.AfterAny, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, named("eu"), named("us"), with(production(), func(p *sluicev1.Stage) {
				p.After = &sluicev1.After{Stages: []string{"eu", "us"}, Policy: tc.policy}
			}))
			s.settle()
			s.verification["us/@2"] = VerificationPending
			s.release("2")
			s.pass(time.Minute)
			s.want(map[string]string{"eu": "2", "us": "2", "production": tc.has})
			delete(s.verification, "us/@2")
			s.settle()
			s.want(map[string]string{"production": "2"})
		})
	}
}

func TestAStageIsNotTakenBackToWhatCameBefore(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.release("2")
	s.settle()
	s.now = s.now.Add(time.Minute)
	s.verification["staging/@3"] = VerificationPending
	s.release("3")
	s.settle()
	// Somebody was in a hurry: production has what staging has not verified yet.
	s.commit("production", "", "3", "bob")
	s.pass(10 * time.Minute)
	s.want(map[string]string{"staging": "3", "production": "3"})
}

func TestADowngradeByThePolicyIsFollowed(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	for _, version := range []string{"2", "3", "2"} {
		s.now = s.now.Add(time.Minute)
		s.release(version)
		s.settle()
		s.want(map[string]string{"staging": version, "production": version})
	}
}

func TestARollbackOfStagingIsNoPromotionOfProduction(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.release("2")
	s.settle()
	s.now = s.now.Add(time.Minute)
	s.verification["staging/@3"] = VerificationFailed
	s.release("3")
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "2", "production": "2"})
	if n := len(s.state.Stages["production"].Landings); n != 2 {
		t.Errorf("production had %d landings", n)
	}
}

func TestEachWaveHasAPullRequest(t *testing.T) {
	s := newSimulation(t, staging(), with(with(production(), pullRequests), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.settle()
	s.verification["production/eu@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.merge("production", "alice")
	s.settle()
	s.wantRegions("2", "1", "1")
	if pr := s.prs["production"]; pr.Open {
		t.Errorf("wave 1 is proposed before wave 0 is verified: %+v", pr)
	}
	delete(s.verification, "production/eu@2")
	s.settle()
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
		t.Fatalf("wave 1 is not proposed: %s", s.status("production").Message)
	}
	s.merge("production", "alice")
	s.settle()
	s.wantRegions("2", "2", "2")
	if got := s.status("production").Phase; got != sluicev1.StageVerified {
		t.Errorf("phase %s", got)
	}
}

func TestABundleThatFailedElsewhereGoesToNoOtherWave(t *testing.T) {
	other := with(staging(), func(s *sluicev1.Stage) { s.Name = "other" })
	s := newSimulation(t, other, with(production(), func(p *sluicev1.Stage) {
		p.After, p.Targets = nil, []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.settle()
	s.verification["other/@2"], s.verification["production/eu@2"] = VerificationPending, VerificationPending
	s.release("2")
	s.settle()
	s.verification["other/@2"] = VerificationFailed
	s.settle()
	delete(s.verification, "production/eu@2")
	s.pass(time.Hour)
	s.wantRegions("2", "1", "1")
	s.wantGate("production", sluicev1.GateContent)
	s.release("3")
	s.settle()
	s.wantRegions("3", "3", "3")
}

func TestAPullRequestOfAWaveStaysOpenWhileAnEarlierOneIsLookedAt(t *testing.T) {
	s := newSimulation(t, staging(), with(with(production(), pullRequests), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}}
	}))
	s.settle()
	s.release("2")
	s.settle()
	s.merge("production", "alice")
	s.settle()
	s.ready["production/eu@2"] = ReadinessProgressing
	s.prs["production"].Checks = pullrequest.ChecksPassed
	s.settle()
	if pr := s.prs["production"]; !pr.Open || pr.Number != 2 {
		t.Errorf("%+v", pr)
	}
	s.wantRegions("2", "1", "1")
	delete(s.ready, "production/eu@2")
	s.settle()
	s.wantRegions("2", "2", "2")
}

func TestASlowerStageTakesNothingBack(t *testing.T) {
	named := func(name string) sluicev1.Stage {
		return with(staging(), func(s *sluicev1.Stage) { s.Name = name })
	}
	s := newSimulation(t, named("fast"), named("slow"), with(production(), func(p *sluicev1.Stage) {
		p.After = &sluicev1.After{Stages: []string{"fast", "slow"}, Policy: sluicev1.AfterAny}
	}))
	s.settle()
	s.command(sluicev1.CommandHold, "slow")
	s.release("2")
	s.pass(time.Minute)
	s.release("3")
	s.pass(time.Minute)
	s.want(map[string]string{"fast": "3", "slow": "1", "production": "3"})
	s.verification["slow/@2"] = VerificationPending // or it goes on to 3 at once
	s.command(sluicev1.CommandPromote, "slow", func(c *Command) { c.Bundle = s.bundle("2") })
	s.command(sluicev1.CommandHold, "slow", func(c *Command) { c.End = true })
	s.settle()
	delete(s.verification, "slow/@2")
	s.command(sluicev1.CommandHold, "slow", func(c *Command) { c.At.Time = s.now.Add(time.Second) })
	s.settle()
	s.want(map[string]string{"slow": "2", "production": "3"})
}

func TestATargetThatIsAddedGetsWhatTheStageHas(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Targets = []sluicev1.Target{{Name: "eu"}} }))
	s.settle()
	for _, version := range []string{"2", "3"} {
		s.release(version)
		s.pass(time.Minute)
	}
	targets := &s.spec.Stages[1].Targets
	*targets = append(*targets, sluicev1.Target{Name: "us", Wave: 1}, sluicev1.Target{Name: "asia", Wave: 1})
	s.commit("production", "us", "1", "bob")
	s.commit("production", "asia", "3", "bob")
	s.pass(time.Minute)
	s.wantRegions("3", "3", "3")
	if l := s.state.Stages["production"].current(); l.Bundle != s.bundle("3") || l.By == "bob" {
		t.Errorf("landed %+v", l)
	}
}

func TestWavesStopAtTheFirstFailure(t *testing.T) {
	waves := with(production(), func(p *sluicev1.Stage) {
		p.Targets = []sluicev1.Target{{Name: "eu"}, {Name: "us", Wave: 1}, {Name: "asia", Wave: 1}}
	})
	s := newSimulation(t, staging(), waves)
	s.settle()
	s.verification["production/eu@2"] = VerificationPending
	s.release("2")
	s.pass(time.Minute)
	if got := s.places["production/us"].versions["app"]; got != "1" {
		t.Fatalf("us has %s before eu is verified", got)
	}
	s.verification["production/eu@2"] = VerificationPassed
	s.settle()
	for _, target := range []string{"us", "asia"} {
		if got := s.places["production/"+target].versions["app"]; got != "2" {
			t.Errorf("%s has %s", target, got)
		}
	}
	s.verification["production/eu@3"] = VerificationFailed
	s.release("3")
	s.settle()
	for _, target := range []string{"eu", "us", "asia"} {
		if got := s.places["production/"+target].versions["app"]; got != "2" {
			t.Errorf("after the failure %s has %s", target, got)
		}
	}
}
