// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestAStageThatCannotBeSeenStaysAsItWas(t *testing.T) {
	tests := map[string]struct {
		given func(*simulation)
	}{
		"a bundle that is verified":  {given: func(*simulation) {}},
		"a bundle without a verdict": {given: func(s *simulation) { s.verification["production/@2"] = VerificationPending; s.release("2") }},
		"somebody's bundle, not judged": {given: func(s *simulation) {
			s.verification["production/@x"] = VerificationPending
			s.commit("production", "", "x", "bob")
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSimulation(t, staging(), production())
			s.settle()
			tc.given(s)
			s.settle()
			before := s.state.Stages["production"]
			s.unseen["production"] = true
			s.pass(2 * time.Hour) // beyond its verifyTimeout
			if diff := cmp.Diff(before, s.state.Stages["production"]); diff != "" {
				t.Errorf("it changed (-before +after):\n%s", diff)
			}
			s.wantGate("production", sluicev1.GateContent)
			if got := s.status("production"); got.Has == nil || got.Phase == sluicev1.StageEmpty {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

func TestAStageThatCannotBeSeenHoldsNoOther(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.unseen["production"] = true
	s.release("2")
	s.settle()
	s.want(map[string]string{"staging": "2", "production": "1"})
	s.command(sluicev1.CommandPromote, "production")
	s.settle()
	s.unseen["production"] = false
	s.settle()
	s.want(map[string]string{"production": "2"})
	if len(s.state.Refused) > 0 {
		t.Errorf("refused: %v", s.state.Refused)
	}
}

// A commit whose fields could not be read any more was verified by the targets that had
// it: none.
func TestAManualCommitThatCannotBeReadIsNotVerified(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.verification["staging/@x"] = VerificationPending
	s.commit("staging", "", "x", "bob")
	s.settle()
	s.places["staging/"].problem = "fields disagree"
	s.settle()
	if l := s.state.Stages["staging"].Landings[0]; l.Verdict != "" {
		t.Errorf("it is %+v", l)
	}
}

func TestWhatProvedABundleIsKept(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("2")
	s.settle()
	l := s.state.Stages["staging"].Landings[0]
	targets := []TargetObservation{
		{Name: "eu", Content: Content{Versions: []sluicev1.Version{{Artifact: "app", Tag: "2"}}}, Evidence: "Canary eu/app succeeded"},
		{Name: "us", Content: Content{Versions: []sluicev1.Version{{Artifact: "app", Tag: "1"}}}, Evidence: "of another bundle"},
		{Name: "ap", Content: Content{Versions: []sluicev1.Version{{Artifact: "app", Tag: "2"}}}, Evidence: strings.Repeat("long ", 200)},
	}
	b, _ := s.state.Bundle(l.Bundle)
	if got := proof(targets, b); len(got) != maxProof || !strings.HasPrefix(got, "eu: Canary eu/app succeeded; ap: long") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
