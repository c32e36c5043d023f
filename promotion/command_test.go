// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// A person who may edit a pipeline, and no more, wrote an approval before the policy was
// installed. It counted as soon as that was.
func TestACommandThatWasWrittenBeforeCommandsWereGuarded(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(s *sluicev1.Stage) { s.Approval = &sluicev1.Approval{} }))
	s.settle()
	s.release("2")
	s.settle()
	s.guarded = false
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.guarded = true
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "2", "production": "1"})
	s.command(sluicev1.CommandApprove, "production")
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "2"})
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
		// Who may roll back could give a stage what its approvals, windows and freezes kept from it.
		"a rollback to what was never there": {
			given: func(s *simulation) { s.spec.Stages[1].Approval = &sluicev1.Approval{} },
			command: func(s *simulation) {
				s.command(sluicev1.CommandRollback, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			},
			why: "is not among the last 20 bundles that the stage had",
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

// Whoever may edit a pipeline could make its state grow.
func TestCommandsThatNobodyGuardsAreNotedOfStagesThatExist(t *testing.T) {
	s := newSimulation(t, staging())
	s.guarded = false
	s.command(sluicev1.CommandHold, "nowhere")
	s.command(sluicev1.CommandApprove, "staging")
	s.settle()
	if _, noted := s.state.Unguarded["approve/staging"]; !noted || len(s.state.Unguarded) != 1 {
		t.Errorf("noted %v", s.state.Unguarded)
	}
}

func TestALandingThatAPersonAskedForSaysSo(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.verification["staging/@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	asked := s.now
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "2"})
	if l := s.state.Stages["production"].Landings[0]; l.Asked == nil || !l.Asked.Equal(asked) || l.By != "alice" {
		t.Errorf("production has %+v", l)
	}
	if l := s.state.Stages["staging"].Landings[0]; l.Asked != nil {
		t.Errorf("nobody asked for what staging has: %+v", l)
	}
}
