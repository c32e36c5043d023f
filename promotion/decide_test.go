// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"strconv"
	"strings"
	"testing"
	"time"

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
