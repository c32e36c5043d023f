// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestABundleGoesThroughTheStages(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.After.Soak = minutes(10) }))
	s.settle()
	s.release("2")
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "1"})
	s.wantGate("production", sluicev1.GateSoak)
	s.pass(9 * time.Minute)
	s.want(map[string]string{"production": "1"})
	s.pass(time.Minute)
	s.want(map[string]string{"staging": "2", "production": "2"})
	if got := s.status("production").Phase; got != sluicev1.StageVerified {
		t.Errorf("phase %s", got)
	}
}

// A column of what stages wait for, and who alerts on it, named the soak of a version that
// the stage had.
func TestAStageThatHasWhatTheStageBeforeHasWaitsForNothing(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.After.Soak = minutes(60) }))
	s.takes = time.Minute
	for range 2 { // before staging is verified, and while its version soaks
		s.settle()
		if got := s.status("production"); len(got.Waiting) > 0 || strings.Contains(got.Message, "soaks") {
			t.Errorf("it waits for %+v: %s", got.Waiting, got.Message)
		}
		s.pass(2 * time.Minute)
	}
	s.release("2")
	s.settle()
	s.wantGate("production", sluicev1.GateUpstream)
}

func TestWhatAStageWaitsFor(t *testing.T) {
	deny := func(p *sluicev1.Stage) {
		p.Windows = []sluicev1.Window{{
			Name: "night", Kind: sluicev1.WindowDeny, Cron: "0 0 * * *", Duration: &metav1.Duration{Duration: 24 * time.Hour},
		}}
	}
	tests := map[string]struct {
		production func(*sluicev1.Stage)
		given      func(*simulation)
		gate       sluicev1.GateType
		opens      func(*simulation)
	}{
		"the verdict of the stage before": {
			given: func(s *simulation) { s.verification["staging/@2"] = VerificationPending }, gate: sluicev1.GateUpstream,
			opens: func(s *simulation) { s.verification["staging/@2"] = VerificationPassed },
		},
		"a window": {
			production: deny, gate: sluicev1.GateWindow,
			opens: func(s *simulation) {
				s.command(sluicev1.CommandOverride, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			},
		},
		"a freeze that its owner cannot edit": {
			given: func(s *simulation) {
				s.freezes = []Freeze{{Name: "christmas", Stages: []string{"production"}, Windows: []sluicev1.Window{{
					Name: "days", Kind: sluicev1.WindowDeny, From: &metav1.Time{Time: epoch.Add(-time.Hour)}, To: &metav1.Time{Time: epoch.Add(time.Hour)},
				}}}}
			},
			gate:  sluicev1.GateFreeze,
			opens: func(s *simulation) { s.now = s.now.Add(time.Hour) },
		},
		"an approval": {
			production: func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} }, gate: sluicev1.GateApproval,
			opens: func(s *simulation) { s.command(sluicev1.CommandApprove, "production") },
		},
		"a hold": {
			given: func(s *simulation) { s.command(sluicev1.CommandHold, "production") }, gate: sluicev1.GateHold,
			opens: func(s *simulation) {
				s.now = s.now.Add(time.Second)
				s.command(sluicev1.CommandHold, "production", func(c *Command) { c.End = true })
			},
		},
		"a confirmation that its state is lost": {
			given: func(s *simulation) { s.lost = true; s.decide(); s.lost = false }, gate: sluicev1.GateState,
			opens: func(s *simulation) { s.command(sluicev1.CommandLift, "production") },
		},
		"the verdict on what it has": {
			given: func(s *simulation) {
				s.commit("production", "", "hotfix", "bob")
				s.verification["production/@hotfix"] = VerificationPending
				s.settle()
			},
			gate:  sluicev1.GateVerdict,
			opens: func(s *simulation) { s.verification["production/@hotfix"] = VerificationPassed },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			change := tc.production
			if change == nil {
				change = func(*sluicev1.Stage) {}
			}
			s := newSimulation(t, staging(), with(production(), change))
			s.settle()
			if tc.given != nil {
				tc.given(s)
			}
			s.state.Lost = s.state.Lost && tc.gate == sluicev1.GateState
			was := s.has("production")
			s.release("2")
			if tc.gate == sluicev1.GateState { // no stage goes on
				s.settle()
				s.wantGate("staging", tc.gate)
				tc.opens(s)
				s.settle()
				s.want(map[string]string{"production": "2"})
				return
			}
			s.settle()
			s.want(map[string]string{"production": was})
			s.wantGate("production", tc.gate)
			tc.opens(s)
			s.settle()
			s.want(map[string]string{"production": "2"})
		})
	}
}

func TestWhatNobodyCanTellIsNoFailure(t *testing.T) {
	for name, tc := range map[string]struct{ hidden, seen func(*simulation) }{
		"a cluster that cannot be reached": {
			func(s *simulation) { s.ready["production/@2"] = ReadinessUnknown },
			func(s *simulation) { s.ready["production/@2"] = ReadinessReady },
		},
		"a verification in such a cluster": {
			func(s *simulation) { s.verification["production/@2"] = VerificationUnknown },
			func(s *simulation) { s.verification["production/@2"] = VerificationPassed },
		},
		"an object that was deleted": {
			func(s *simulation) { s.ready["production/@2"] = ReadinessMissing },
			func(s *simulation) { s.ready["production/@2"] = ReadinessReady },
		},
		"a verification that was deleted": {
			func(s *simulation) { s.verification["production/@2"] = VerificationMissing },
			func(s *simulation) { s.verification["production/@2"] = VerificationPassed },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), production())
			s.settle()
			tc.hidden(s)
			s.release("2")
			s.settle()
			s.pass(2 * time.Hour)
			s.want(map[string]string{"staging": "2", "production": "2"})
			if got := s.status("production").Phase; got != sluicev1.StageVerifying || len(s.state.Quarantine) > 0 {
				t.Errorf("phase %s, quarantine %+v", got, s.state.Quarantine)
			}
			tc.seen(s)
			s.settle()
			if got := s.status("production").Phase; got != sluicev1.StageVerified {
				t.Errorf("phase %s", got)
			}
		})
	}
}

func TestWhatFailsIsTakenBack(t *testing.T) {
	tests := map[string]struct {
		fails func(*simulation)
		stage func(*sluicev1.Stage)
		has   string // production, in the end
		phase sluicev1.StagePhase
	}{
		"objects that are broken with it": {
			fails: func(s *simulation) { s.ready["production/@2"] = ReadinessFailed }, has: "1",
			phase: sluicev1.StageVerified,
		},
		"a verification that fails": {
			fails: func(s *simulation) { s.verification["production/@2"] = VerificationFailed }, has: "1",
			phase: sluicev1.StageVerified,
		},
		"a verification that takes forever": {fails: func(s *simulation) {
			s.verification["production/@2"] = VerificationPending
			s.settle()
			s.pass(30 * time.Minute)
		}, has: "1", phase: sluicev1.StageVerified},
		"objects that are never ready": {fails: func(s *simulation) {
			s.ready["production/@2"] = ReadinessProgressing
			s.settle()
			s.pass(30 * time.Minute)
		}, has: "1", phase: sluicev1.StageVerified},
		"or stays, if rollback is off": {
			fails: func(s *simulation) { s.verification["production/@2"] = VerificationFailed },
			stage: func(p *sluicev1.Stage) { off := false; p.OnFailure.Rollback = &off }, has: "2", phase: sluicev1.StageFailed,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			change := tc.stage
			if change == nil {
				change = func(*sluicev1.Stage) {}
			}
			s := newSimulation(t, staging(), with(production(), change))
			s.settle()
			s.release("2")
			tc.fails(s)
			s.settle()
			s.want(map[string]string{"staging": "2", "production": tc.has})
			if got := s.status("production").Phase; got != tc.phase {
				t.Errorf("phase %s, want %s", got, tc.phase)
			}
			if q := s.state.quarantined(s.bundle("2")); q == nil || q.Stage != "production" {
				t.Errorf("quarantine %+v", s.state.Quarantine)
			}
			s.pass(24 * time.Hour)
			s.want(map[string]string{"production": tc.has})
			s.release("3")
			s.settle()
			s.want(map[string]string{"staging": "3", "production": "3"})
		})
	}
}

func TestTheQuarantineIsKeptBeforeTheCommit(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("2")
	s.settle()
	s.state.Stages["staging"].Landings[0].Verdict = ""
	s.verification["staging/@2"] = VerificationFailed
	d := Decide(s.state, s.observe(), s.now)
	if d.State.quarantined(s.bundle("2")) == nil {
		t.Error("not in quarantine")
	}
	if w := d.State.Stages["staging"].Writing; w == nil || w.Kind != sluicev1.LandingRollback || w.Bundle != s.bundle("1") {
		t.Errorf("writing %+v", w)
	}
	if len(d.Actions) != 1 || d.Actions[0].(Write).Bundle.ID != s.bundle("1") {
		t.Errorf("actions %+v", d.Actions)
	}
}

func TestPeopleWin(t *testing.T) {
	t.Run("who reverts a promotion: it is not made again", func(t *testing.T) {
		s := newSimulation(t, staging(), production())
		s.settle()
		s.release("2")
		s.settle()
		s.commit("production", "", "1", "bob")
		s.pass(time.Hour)
		s.want(map[string]string{"staging": "2", "production": "1"})
		s.release("3")
		s.settle()
		s.want(map[string]string{"production": "3"})
	})
	t.Run("who puts a bundle back that is in quarantine", func(t *testing.T) {
		s := newSimulation(t, staging(), production())
		s.settle()
		s.verification["production/@2"] = VerificationFailed
		s.release("2")
		s.settle()
		s.want(map[string]string{"production": "1"})
		delete(s.verification, "production/@2")
		s.commit("production", "", "2", "bob")
		s.pass(time.Hour)
		s.want(map[string]string{"production": "2"})
	})
	t.Run("until it fails again", func(t *testing.T) {
		s := newSimulation(t, staging(), production())
		s.settle()
		s.release("2")
		for range 2 {
			s.commit("production", "", "2", "bob")
			s.verification["production/@2"] = VerificationFailed
			s.settle()
			s.want(map[string]string{"production": "1"})
		}
	})
	t.Run("who promotes by command, past the stages before", func(t *testing.T) {
		s := newSimulation(t, staging(), production())
		s.settle()
		s.release("2")
		s.verification["staging/@2"] = VerificationPending
		s.settle()
		s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
		s.settle()
		s.want(map[string]string{"production": "2"})
	})
	t.Run("who rolls back: the stage is held", func(t *testing.T) {
		s := newSimulation(t, staging(), production())
		s.settle()
		s.release("2")
		s.settle()
		s.command(sluicev1.CommandRollback, "production")
		s.pass(time.Hour)
		s.want(map[string]string{"staging": "2", "production": "1"})
		s.release("3")
		s.settle()
		s.want(map[string]string{"staging": "3", "production": "1"})
		s.wantGate("production", sluicev1.GateHold)
	})
}

func TestACommandThatNobodyGuardsIsIgnored(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} }))
	s.guarded = false
	s.settle()
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.want(map[string]string{"production": "1"})
}

func TestAnExpiredQuarantineDeploysNothing(t *testing.T) {
	s := newSimulation(t, with(staging(), func(p *sluicev1.Stage) { p.OnFailure.Quarantine = minutes(60) }))
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.pass(48 * time.Hour)
	s.want(map[string]string{"staging": "1"})
	delete(s.verification, "staging/@2")
	s.command(sluicev1.CommandPromote, "staging", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.want(map[string]string{"staging": "2"})
}

func TestARollbackIsNotRolledBack(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("1.5")
	s.settle()
	s.verification["staging/@2"], s.verification["staging/@1.5"] = VerificationFailed, VerificationFailed
	s.release("2")
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "1.5"})
	if got := s.status("staging").Phase; got != sluicev1.StageFailed {
		t.Errorf("phase %s", got)
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

func TestProductionAdvancesHoweverFastBundlesCome(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.takes = 10 * time.Minute
	landed := 0
	for i := range 60 {
		s.release(strconv.Itoa(i + 2))
		before := s.has("production")
		s.pass(time.Minute)
		if s.has("production") != before {
			landed++
		}
	}
	if n := len(s.state.Bundles); n > 2*maxLandings+5 {
		t.Errorf("%d bundles are remembered", n)
	}
	if landed < 3 {
		t.Errorf("production got %d bundles in an hour", landed)
	}
}

func TestDeletedObjectsLeaveNothingToWrite(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.release("2")
	s.settle()
	before := s.last
	text, err := s.state.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if s.state, err = ParseState(text); err != nil {
		t.Fatal(err)
	}
	if s.decide() {
		t.Errorf("something changed: %+v %+v", s.last.Actions, s.last.Events)
	}
	for i := range before.Stages {
		if before.Stages[i].Message != s.last.Stages[i].Message || before.Stages[i].Phase != s.last.Stages[i].Phase {
			t.Errorf("%+v is now %+v", before.Stages[i], s.last.Stages[i])
		}
	}
}

func TestBundlesThatGoTogether(t *testing.T) {
	two := func(t *testing.T, together *sluicev1.Together) *simulation {
		t.Helper()
		s := newSimulation(t, staging())
		s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
		s.spec.Together = together
		s.releaseOf("web", "1")
		s.places["staging/"].versions["web"] = "1"
		s.settle()
		return s
	}
	t.Run("of the same tag", func(t *testing.T) {
		s := two(t, &sluicev1.Together{SameTag: true})
		s.release("2")
		s.pass(time.Hour)
		s.want(map[string]string{"staging": "1"})
		s.releaseOf("web", "2")
		s.settle()
		s.want(map[string]string{"staging": "2"})
	})
	t.Run("of the same tag, which they have", func(t *testing.T) {
		s := two(t, &sluicev1.Together{SameTag: true})
		for artifact, digest := range map[string]string{"app": "sha256:a", "web": "sha256:b"} {
			s.newest[artifact] = Newest{Version: sluicev1.Version{Image: "registry/" + artifact, Digest: digest}}
		}
		s.settle()
		if s.last.Candidate != nil {
			t.Errorf("versions without tags are a bundle: %+v", s.last.Candidate)
		}
	})
	t.Run("wait for one another, but not for ever", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(9 * time.Minute)
		s.want(map[string]string{"staging": "1"})
		s.pass(time.Minute)
		s.want(map[string]string{"staging": "2"})
	})
	// What the wait is counted from was the moment of each look: it never ended.
	t.Run("counted from the first change, over restarts and further changes", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		for range 9 {
			s.pass(time.Minute)
			text, err := s.state.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if s.state, err = ParseState(text); err != nil {
				t.Fatal(err)
			}
		}
		s.release("3")
		s.want(map[string]string{"staging": "1"})
		s.pass(time.Minute)
		s.want(map[string]string{"staging": "3"})
		if s.state.Changed != nil {
			t.Errorf("it still waits since %s", s.state.Changed)
		}
	})
	t.Run("and anew for the next one", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(10 * time.Minute)
		s.release("3")
		s.pass(9 * time.Minute)
		s.want(map[string]string{"staging": "2"})
	})
	t.Run("and go at once when all are there", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(time.Minute)
		s.releaseOf("web", "2")
		s.settle()
		s.want(map[string]string{"staging": "2"})
	})
}

func TestCommandsThatAreRefused(t *testing.T) {
	tests := map[string]struct {
		given   func(*simulation)
		command func(*simulation)
		why     string
	}{
		"a rollback to what is in quarantine": {
			given: func(s *simulation) { s.verification["production/@2"] = VerificationFailed },
			command: func(s *simulation) {
				s.command(sluicev1.CommandRollback, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			},
			why: "lift that first",
		},
		"a promotion of it": {
			given: func(s *simulation) { s.verification["production/@2"] = VerificationFailed },
			command: func(s *simulation) {
				s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			},
			why: "lift that first",
		},
		"a promotion of what nobody knows": {
			command: func(s *simulation) {
				s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = "000000000000" })
			},
			why: "is not known",
		},
		"a promotion of what is there": {
			command: func(s *simulation) { s.command(sluicev1.CommandPromote, "production") }, why: "the stage has app 2",
		},
		"a lift of what is not in quarantine": {
			command: func(s *simulation) {
				s.command(sluicev1.CommandLift, "production", func(c *Command) { c.Bundle = s.bundle("1") })
			},
			why: "no bundle of this id is in quarantine",
		},
		"a lift by another stage than where it failed": {
			given:   func(s *simulation) { s.verification["production/@2"] = VerificationFailed },
			command: func(s *simulation) { s.command(sluicev1.CommandLift, "staging") },
			why:     "app 2 failed in stage production: lift it there",
		},
		"a command of the future": {
			command: func(s *simulation) {
				s.command(sluicev1.CommandHold, "production", func(c *Command) { c.At.Time = c.At.AddDate(900, 0, 0) })
			},
			why: "has not come: give it again",
		},
		"a lift that names none of several": {
			given: func(s *simulation) {
				s.state.Quarantine = []Quarantine{{Bundle: s.bundle("1")}, {Bundle: s.bundle("2")}}
			},
			command: func(s *simulation) { s.command(sluicev1.CommandLift, "production") }, why: "2 are in quarantine",
		},
		"a stage that there is not": {
			command: func(s *simulation) { s.command(sluicev1.CommandHold, "prod") }, why: `there is no stage "prod"`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), production())
			s.settle()
			s.release("2")
			if tc.given != nil {
				tc.given(s)
			}
			s.settle()
			has := s.has("production")
			tc.command(s)
			s.decide()
			if len(s.last.Events) != 1 || !s.last.Events[0].Warning || !strings.Contains(s.last.Events[0].Message, tc.why) {
				t.Errorf("events %+v, want %q", s.last.Events, tc.why)
			}
			s.settle()
			s.want(map[string]string{"production": has})
			refused := slices.Collect(maps.Values(s.state.Refused))
			if len(refused) != 1 || !strings.Contains(refused[0], tc.why) {
				t.Errorf("the state says %q", refused)
			}
		})
	}
}

func TestTheNextCommandOfAVerbIsNotRefusedForTheLastOne(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.command(sluicev1.CommandPromote, "staging")
	s.settle()
	if len(s.state.Refused) != 1 {
		t.Fatalf("refused %v", s.state.Refused)
	}
	s.now = s.now.Add(time.Second)
	s.release("2")
	s.command(sluicev1.CommandPromote, "staging", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	if len(s.state.Refused) > 0 {
		t.Errorf("refused %v", s.state.Refused)
	}
}

func TestALiftEndsAQuarantine(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.want(map[string]string{"staging": "1"})
	delete(s.verification, "staging/@2")
	s.command(sluicev1.CommandLift, "staging")
	s.settle()
	s.command(sluicev1.CommandPromote, "staging")
	s.settle()
	s.want(map[string]string{"staging": "2"})
}

func TestOnlyTimeInWhichABundleIsThereAndWorksCountsAsSoak(t *testing.T) {
	soaking := func(t *testing.T) *simulation {
		t.Helper()
		s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.After.Soak = minutes(10) }))
		s.settle()
		s.release("2")
		s.settle()
		s.pass(5 * time.Minute)
		return s
	}
	t.Run("not while its objects fail", func(t *testing.T) {
		s := soaking(t)
		s.ready["staging/@2"] = ReadinessFailed
		s.settle()
		s.pass(time.Hour)
		delete(s.ready, "staging/@2")
		s.settle()
		s.pass(4 * time.Minute)
		s.want(map[string]string{"production": "1"})
		s.pass(time.Minute)
		s.want(map[string]string{"production": "2"})
	})
	t.Run("not while the content cannot be read", func(t *testing.T) {
		s := soaking(t)
		s.places["staging/"].problem = "fields disagree"
		s.settle()
		s.pass(time.Hour)
		s.want(map[string]string{"production": "1"})
		s.places["staging/"].problem = ""
		s.settle()
		s.pass(5 * time.Minute)
		s.want(map[string]string{"production": "2"})
	})
	t.Run("what was replaced before it is not eligible", func(t *testing.T) {
		s := soaking(t)
		s.verification["staging/@3"] = VerificationPending
		s.release("3")
		s.pass(20 * time.Minute)
		s.want(map[string]string{"staging": "3", "production": "1"})
		if l := s.state.Stages["staging"].Landings; l[1].Since != nil || time.Duration(l[1].Soaked) != 5*time.Minute {
			t.Errorf("%+v", l[1])
		}
	})
	t.Run("what was replaced after it stays eligible", func(t *testing.T) {
		s := soaking(t)
		s.pass(4 * time.Minute)
		s.takes = time.Hour
		s.now = s.now.Add(2 * time.Minute) // the process was away
		s.release("3")
		s.settle()
		s.want(map[string]string{"production": "2"})
	})
}
