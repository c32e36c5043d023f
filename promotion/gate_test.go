// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// What somebody agreed to for ten minutes does not count after them, whether anything else happens or not.
func TestAnApprovalIsLookedAtWhenItsTimeIsOver(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{MinApprovals: 2} }))
	s.settle()
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandApprove, "production", func(c *Command) {
		c.Until = &metav1.Time{Time: s.now.Add(10 * time.Minute)}
	})
	s.settle()
	s.wantGate("production", sluicev1.GateApproval)
	if s.last.After != 10*time.Minute {
		t.Errorf("it is looked at again after %s, want the end of the approval", s.last.After)
	}
}

func TestTheEarliestOfSeveralTimesIsWhenToLookAgain(t *testing.T) {
	for name, tc := range map[string]struct{ hold, approval time.Duration }{
		"the hold ends first":     {time.Minute, time.Hour},
		"the approval ends first": {time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{MinApprovals: 2} }))
			s.settle()
			s.release("2")
			s.settle()
			until := func(d time.Duration) func(*Command) {
				return func(c *Command) { c.Until = &metav1.Time{Time: s.now.Add(d)} }
			}
			s.command(sluicev1.CommandHold, "production", until(tc.hold))
			s.command(sluicev1.CommandApprove, "production", until(tc.approval))
			s.settle()
			if s.last.After != time.Minute {
				t.Errorf("it is looked at again after %s, want %s", s.last.After, time.Minute)
			}
		})
	}
}
