// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// renameArtifact calls the artifact of a simulation otherwise, in its spec and in the markers
// of its files.
func (s *simulation) renameArtifact(was, is string) {
	for i := range s.spec.Artifacts {
		if s.spec.Artifacts[i].Name == was {
			s.spec.Artifacts[i].Name = is
		}
	}
	s.newest[is] = s.newest[was]
	delete(s.newest, was)
	for _, p := range s.places {
		if version, ok := p.versions[was]; ok {
			p.versions[is] = version
			delete(p.versions, was)
		}
	}
}

func TestARenamedArtifactKeepsItsQuarantineAndItsVerdicts(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} }))
	s.settle()
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.verification["staging/@3"] = VerificationFailed
	s.release("3")
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "2"})
	landings, failed := len(s.state.Stages["staging"].Landings), s.state.Quarantine[0].Bundle

	s.renameArtifact("app", "api")
	delete(s.verification, "staging/@3") // it would pass now
	s.settle()
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "2", "production": "2"})
	if n := len(s.state.Stages["staging"].Landings); n != landings {
		t.Errorf("staging had %d landings, and has %d", landings, n)
	}
	if q := s.state.Quarantine; len(q) != 1 || q[0].Bundle != failed || q[0].Artifacts != nil && q[0].Artifacts[0] != "api" {
		t.Errorf("quarantine %+v", q)
	}
	if got := s.status("staging").Waiting; len(got) == 0 || !strings.HasPrefix(got[0].Message, "api 3 is in quarantine") {
		t.Errorf("staging waits for %+v", got)
	}
	if want := "artifact app is called api now: verdicts and quarantine go on"; !slices.Contains(s.told, want) {
		t.Errorf("nobody is told %q: %q", want, s.told)
	}
	if got := s.state.Stages["production"].Approvals; len(got) != 1 || got[0].Bundle != s.state.Stages["production"].current().Bundle {
		t.Errorf("approvals %+v", got)
	}
	s.verification["staging/@4"] = VerificationFailed
	s.release("4")
	s.pass(time.Minute)
	s.want(map[string]string{"staging": "2"}) // which was verified before
}

func TestTwoArtifactsThatChangeTheirNames(t *testing.T) {
	s := newSimulation(t, staging())
	s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
	s.places["staging/"].versions["web"] = "1"
	s.releaseOf("web", "1")
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.newest["app"], s.newest["web"] = s.newest["web"], s.newest["app"]
	p := s.places["staging/"]
	p.versions["app"], p.versions["web"] = p.versions["web"], p.versions["app"]
	s.verification = map[string]Verification{}
	s.pass(time.Hour)
	if got := p.versions["web"]; got != "1" {
		t.Errorf("what failed as app 2 is written as web %s", got)
	}
	if got := s.state.Quarantine[0].Artifacts; !slices.Equal(got, []string{"web"}) {
		t.Errorf("suspected %v", got)
	}
}

func TestAnotherImageOfTheSameNameAndTagIsAnotherVersion(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.want(map[string]string{"staging": "1"})
	delete(s.verification, "staging/@2")
	s.newest["app"] = Newest{Version: sluicev1.Version{Image: "registry/other", Tag: "2"}}
	s.settle()
	s.want(map[string]string{"staging": "2"})
}

func TestAStageThatIsRenamedIsForgotten(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.command(sluicev1.CommandHold, "staging")
	s.settle()
	s.spec.Stages[0].Name, s.spec.Stages[1].After.Stages = "test", []string{"test"}
	s.places["test/"] = s.places["staging/"]
	s.settle()
	if _, kept := s.state.Stages["staging"]; kept {
		t.Error("the state still has stage staging")
	}
	want := "! there is no stage staging any more: its landings, verdicts, approvals and its hold are forgotten"
	if !slices.Contains(s.told, want) {
		t.Errorf("nobody is told %q: %q", want, s.told)
	}
	if s.state.Handled["hold/staging"].IsZero() {
		t.Error("it is forgotten that a command was handled which is still there")
	}
	s.commands = nil
	s.settle()
	if len(s.state.Handled)+len(s.state.Refused) > 0 {
		t.Errorf("handled %v, refused %v", s.state.Handled, s.state.Refused)
	}
	s.release("2")
	s.settle()
	s.want(map[string]string{"test": "2", "production": "2"})
}

// Whoever merged it later wrote to files that no stage was about any more, or past the gates of the new name.
func TestThePullRequestThatASpecLeavesBehindIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sluicev1.PipelineSpec)
		want   string
	}{
		"with its stage": {
			func(p *sluicev1.PipelineSpec) { p.Stages = p.Stages[:1] },
			"! there is no stage production any more: its landings, verdicts, approvals and its hold are forgotten; " +
				"its pull request #1 is left open: close it",
		},
		"since the stage is committed to": {
			func(p *sluicev1.PipelineSpec) { p.Stages[1].Write = staging().Write },
			"! pull request #1 of production is left open: close it, for the stage takes none any more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := proposing(t)
			tc.change(&s.spec)
			s.settle()
			if n := len(s.told); !slices.Contains(s.told, tc.want) {
				t.Errorf("told %q", s.told[max(0, n-3):])
			}
		})
	}
}

func TestWhatAPersonTookBackInStagingDoesNotGoOn(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.After.Soak = minutes(30) }))
	s.settle()
	s.release("2")
	s.pass(10 * time.Minute)
	s.release("3")
	s.pass(20 * time.Minute)
	s.command(sluicev1.CommandRollback, "staging", func(c *Command) { c.Bundle = s.bundle("1") })
	s.pass(2 * time.Hour)
	s.want(map[string]string{"staging": "1", "production": "1"})
	wants := "app 3 was rolled back in staging by alice; `sluice pipeline promote` promotes it all the same"
	if got := s.status("production").Waiting; len(got) != 1 || got[0].Message != wants {
		t.Errorf("production waits for %+v, want %q", got, wants)
	}
	s.command(sluicev1.CommandPromote, "staging", func(c *Command) { c.Bundle = s.bundle("2") })
	s.command(sluicev1.CommandHold, "staging", func(c *Command) { c.End = true })
	s.pass(time.Hour)
	s.want(map[string]string{"staging": "2", "production": "2"})
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("3") })
	s.pass(time.Minute)
	s.want(map[string]string{"staging": "2", "production": "3"})
}

func TestAVersionThatIsSuspectedIsNotPromotedByACommand(t *testing.T) {
	s := bundled(t, nil)
	s.verification["production/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.releaseOf("web", "2")
	s.settle()
	both := s.state.Candidate.Bundle
	for _, verb := range []sluicev1.CommandVerb{sluicev1.CommandPromote, sluicev1.CommandRollback} {
		s.command(verb, "production", func(c *Command) { c.Bundle = both })
		s.settle()
		why := s.state.Refused[string(verb)+"/production"]
		if !strings.Contains(why, "has a version that app 2, web 1 failed with in production") {
			t.Errorf("%s: refused %q", verb, why)
		}
	}
}

func TestAPullRequestThatWasClosedBeforeItWasSeenOpen(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), pullRequests))
	s.settle()
	s.release("2")
	for s.prs["production"] == nil {
		s.decide()
	}
	pr := s.prs["production"]
	pr.Open, pr.ClosedBy = false, "bob"
	s.pass(time.Hour)
	if got := s.prs["production"]; got.Open || got.Number != pr.Number {
		t.Errorf("bob closed #%d, and #%d is open: %v", pr.Number, got.Number, got.Open)
	}
	if got := s.state.Stages["production"].Ignored; len(got) != 1 || got[0].By != "bob" {
		t.Errorf("ignored %+v", got)
	}
}

// What was noted of commands that nobody guarded would stay for as long as the pipeline does.
func TestCommandsToAStageThatIsGoneAreForgotten(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.guarded = false
	s.command(sluicev1.CommandHold, "production")
	s.settle()
	s.guarded = true
	s.command(sluicev1.CommandLift, "production")
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.Bundle = s.bundle("1") })
	s.settle()
	if len(s.state.Unguarded) != 1 || len(s.state.Refused) != 1 || len(s.state.Handled) != 2 {
		t.Fatalf("unguarded %v, refused %v, handled %v", s.state.Unguarded, s.state.Refused, s.state.Handled)
	}
	s.spec.Stages = s.spec.Stages[:1]
	s.settle()
	if len(s.state.Unguarded) != 1 || len(s.state.Refused) != 1 || len(s.state.Handled) != 2 {
		t.Errorf("forgotten while they are there: unguarded %v, refused %v, handled %v", s.state.Unguarded, s.state.Refused, s.state.Handled)
	}
	s.commands = nil
	s.settle()
	if len(s.state.Unguarded)+len(s.state.Refused)+len(s.state.Handled) > 0 {
		t.Errorf("kept: unguarded %v, refused %v, handled %v", s.state.Unguarded, s.state.Refused, s.state.Handled)
	}
}
