// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// standIn is what a policy says whose newer versions are in quarantine.
func (s *simulation) standIn(version string) {
	s.release(version)
	newest := s.newest["app"]
	newest.StandsIn = true
	s.newest["app"] = newest
}

// bundled is a pipeline of app and web, each of version 1.
func bundled(t *testing.T, together *sluicev1.Together) *simulation {
	t.Helper()
	s := newSimulation(t, staging(), production())
	s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
	s.spec.Together = together
	s.releaseOf("web", "1")
	for _, p := range s.places {
		p.versions["web"] = "1"
	}
	s.settle()
	return s
}

// TestWhatStandsInForAQuarantinedVersion: an image policy that may not choose 2 any more,
// because it failed in production, chooses what comes before it.
func TestWhatStandsInForAQuarantinedVersion(t *testing.T) {
	tests := map[string]struct {
		together *sluicev1.Together
		then     func(*simulation)
		want     map[string]string // of app
		wantWeb  string            // of staging
	}{
		"takes no stage back that works": {
			then: func(s *simulation) { s.standIn("1") },
			want: map[string]string{"staging": "2", "production": "1"}, wantWeb: "1",
		},
		"is not given to a stage that never had it": {
			then: func(s *simulation) { s.standIn("1.9") },
			want: map[string]string{"staging": "2", "production": "1"}, wantWeb: "1",
		},
		"is not waited for": {
			together: &sluicev1.Together{SameTag: true}, then: func(s *simulation) { s.standIn("1.9") },
			want: map[string]string{"staging": "2", "production": "1"}, wantWeb: "2",
		},
		"makes way for a newer one": {
			then: func(s *simulation) { s.standIn("1"); s.settle(); s.release("3") },
			want: map[string]string{"staging": "3", "production": "3"}, wantWeb: "1",
		},
		"goes along with a new version of another artifact": {
			then: func(s *simulation) { s.standIn("1"); s.settle(); s.releaseOf("web", "2") },
			want: map[string]string{"staging": "1", "production": "1"}, wantWeb: "2",
		},
		"is not there yet, and a new bundle has the version that failed": {
			then: func(s *simulation) { s.releaseOf("web", "2") },
			want: map[string]string{"staging": "2", "production": "1"}, wantWeb: "1",
		},
		"gives way when the quarantine is lifted, and nothing is deployed again": {
			then: func(s *simulation) {
				s.standIn("1")
				s.settle()
				s.command(sluicev1.CommandLift, "production", func(c *Command) { c.Bundle = s.state.Quarantine[0].Bundle })
				s.settle()
				s.release("2")
			},
			want: map[string]string{"staging": "2", "production": "1"}, wantWeb: "1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := bundled(t, tc.together)
			s.verification["production/@2"] = VerificationFailed
			if tc.together != nil {
				s.releaseOf("web", "2")
			}
			s.release("2")
			s.settle()
			s.want(map[string]string{"staging": "2", "production": "1"})
			delete(s.verification, "production/@2")
			candidate := s.last.Candidate.ID
			tc.then(s)
			s.settle()
			s.want(tc.want)
			if web := s.places["staging/"].versions["web"]; web != tc.wantWeb {
				t.Errorf("staging has web %s, want %s", web, tc.wantWeb)
			}
			if tc.want["staging"] == "2" && tc.wantWeb == "1" && s.newest["web"].Tag == "1" && s.last.Candidate.ID != candidate {
				t.Errorf("the candidate is %s, and nothing is new", Describe(*s.last.Candidate))
			}
		})
	}
}

func TestOnlyWhatIsNewInAFailedBundleIsSuspected(t *testing.T) {
	for name, tc := range map[string]struct {
		release func(*simulation)
		want    []string
	}{
		"one of two": {func(s *simulation) { s.release("2") }, []string{"app"}},
		"both":       {func(s *simulation) { s.release("2"); s.releaseOf("web", "2") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundled(t, nil)
			s.verification["production/@2"] = VerificationFailed
			tc.release(s)
			s.settle()
			if q := s.state.Quarantine; len(q) != 1 || !slices.Equal(q[0].Artifacts, tc.want) {
				t.Errorf("quarantine %+v, want artifacts %v", q, tc.want)
			}
		})
	}
	t.Run("all, if nothing was ever verified", func(t *testing.T) {
		s := newSimulation(t, staging())
		s.verification["staging/@1"] = VerificationFailed
		s.settle()
		if q := s.state.Quarantine; len(q) != 1 || q[0].Artifacts != nil {
			t.Errorf("quarantine %+v", q)
		}
	})
}

func TestAPromotionThatWaitsEndsWithTheQuarantineOfItsBundle(t *testing.T) {
	s := newSimulation(t, staging(), with(production(), func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{} }))
	s.settle()
	s.verification["staging/@2"] = VerificationPending
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
	s.settle()
	s.wantGate("production", sluicev1.GateApproval)
	s.now = s.now.Add(time.Minute)
	s.verification["staging/@2"] = VerificationFailed
	s.settle()
	if want := "! alice asked to promote app 2 to production, which is in quarantine by now: "; !slices.Contains(s.told, want) {
		t.Errorf("nobody is told %q: %q", want, s.told)
	}
	s.command(sluicev1.CommandApprove, "production", func(c *Command) { c.By, c.Bundle = "carol", s.bundle("2") })
	s.settle()
	s.want(map[string]string{"staging": "1", "production": "1"})
}

func TestARollbackBringsNothingBackThatIsSuspected(t *testing.T) {
	named := func(name string) sluicev1.Stage {
		return with(staging(), func(s *sluicev1.Stage) { s.Name = name })
	}
	s := newSimulation(t, named("eu"), named("us"))
	s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
	release := func(app, web string) {
		s.release(app)
		s.releaseOf("web", web)
		s.pass(time.Minute)
	}
	s.places["eu/"].versions["web"], s.places["us/"].versions["web"] = "1", "1"
	release("1", "1")
	s.verification["us/@2"] = VerificationPending
	release("2", "1")
	release("2", "2")
	s.verification["us/@2"] = VerificationFailed
	s.settle()
	s.verification["eu/@3"] = VerificationFailed
	release("3", "2")
	s.want(map[string]string{"eu": "1"})
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

// A person may promote a bundle once the time of its quarantine is over. It went to the first wave alone, and the stage
// waited for the rest of its targets for ever.
func TestWhatIsPromotedAfterItsQuarantineGoesToAllWaves(t *testing.T) {
	for name, write := range map[string]func(*sluicev1.Stage){"by commits": func(*sluicev1.Stage) {}, "by pull requests": pullRequests} {
		t.Run(name, func(t *testing.T) {
			s := regions(t)
			s.spec.Stages[1].OnFailure.Quarantine = minutes(60)
			s.verification["production/eu@2"] = VerificationFailed
			s.release("2")
			s.pass(2 * time.Hour)
			s.wantRegions("1", "1", "1")
			delete(s.verification, "production/eu@2")
			write(&s.spec.Stages[1])
			s.command(sluicev1.CommandPromote, "production", func(c *Command) { c.Bundle = s.bundle("2") })
			for range 2 {
				s.settle()
				if pr := s.prs["production"]; pr != nil && pr.Open {
					s.merge("production", "bob")
				}
			}
			s.settle()
			s.wantRegions("2", "2", "2")
			if got := s.status("production").Phase; got != sluicev1.StageVerified {
				t.Errorf("it is %s: %s", got, s.status("production").Message)
			}
		})
	}
}

// Who puts a bundle back that had failed means it: were it still in quarantine, the next stage would never get it.
func TestWhoPutsABundleBackOverridesItsQuarantine(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.want(map[string]string{"staging": "1", "production": "1"})
	delete(s.verification, "staging/@2")
	s.now = s.now.Add(time.Minute)
	s.commit("staging", "", "2", "bob")
	s.settle()
	if q := s.state.quarantined(s.bundle("2")); q == nil || q.Overridden == nil || !q.Overridden.Equal(s.now) {
		t.Errorf("the quarantine is %+v, want one that is overridden", q)
	}
	s.pass(24 * time.Hour)
	s.want(map[string]string{"staging": "2", "production": "2"})
}

func TestWhatALiftDidIsTold(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.verification["staging/@2"] = VerificationFailed
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandLift, "staging")
	s.settle()
	if want := "alice ended the quarantine of app 2"; !slices.Contains(s.told, want) {
		t.Errorf("told %q, want %q", s.told, want)
	}
}
