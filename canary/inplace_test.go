// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// TestPodsThatFollowTheirWeightAreNoFailure: a StatefulSet has no pods of the new
// revision before the first weight, and for a moment none after it.
func TestPodsThatFollowTheirWeightAreNoFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		inPlace    bool
		wantFailed int
		wantWeight int
	}{
		"pods follow the weight": {true, 0, 20},
		"pods come first":        {false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) {
				s.Plan.InPlace = tc.inPlace
				s.Target = Workload{Exists: true, Revision: v2, Replicas: 1, Why: "0 of 1 pods are available"}
			})
			decision, err := s.decide()
			if err != nil || decision.State.FailedChecks != tc.wantFailed || decision.State.Weight != tc.wantWeight {
				t.Errorf("%+v, %v", decision.State, err)
			}
		})
	}
}

func TestAWeightThatWasResetIsSetAgainWithoutPods(t *testing.T) {
	s := edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) {
		s.Plan.InPlace, s.Weights = true, provider.ToPrimary
		s.Target = Workload{Exists: true, Revision: v2, Ready: true}
		s.State.At = noon.Add(-time.Second)
	})
	decision, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range decision.Actions {
		if set, ok := a.(SetWeights); ok && set.Canary == 20 {
			return
		}
	}
	t.Errorf("actions %v", decision.Actions)
}

func TestWhoHasNoServicesIsNoWorkerIfSomethingRoutesIt(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, provider string
		want           Plan
	}{
		"a worker":               {"Deployment", "", Plan{Worker: true}},
		"a Knative Service":      {"Service", "knative", Plan{Routed: true}},
		"a StatefulSet's worker": {"StatefulSet", "", Plan{Routed: true, InPlace: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{Spec: flaggerv1.CanarySpec{Provider: tc.provider,
				TargetRef: flaggerv1.LocalObjectReference{Kind: tc.kind}, Analysis: &flaggerv1.CanaryAnalysis{StepWeight: 20, Threshold: 1}}}
			p, err := NewPlan(c, PlanSettings{Provider: "istio"})
			if err != nil || p.Worker != tc.want.Worker || p.Routed != tc.want.Routed || p.InPlace != tc.want.InPlace {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// TestARevertWhilePodsArePromotedTakesThemBack: pods that have the new revision
// get what is the template again, and nothing stops that.
func TestARevertWhilePodsArePromotedTakesThemBack(t *testing.T) {
	s := edited(at(flaggerv1.CanaryPhasePromoting, 0), func(s *situation) {
		s.Plan.InPlace, s.Snapshots = true, nil
		s.Target, s.Primary = rolling(v1), running(v2)
	})
	for _, phase := range []flaggerv1.CanaryPhase{flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseInitialized} {
		decision, err := s.decide()
		if err != nil || decision.State.Phase != phase {
			t.Fatalf("%s, %v", decision.State.Phase, err)
		}
		for _, a := range decision.Actions {
			if _, stop := a.(StopTarget); stop {
				t.Errorf("actions %v", decision.Actions)
			}
		}
		s.State = decision.State
	}
}

// TestWhatAllPodsHaveIsWhatUsersHave: another template came before pods had gone
// back to the last one, which nobody has any more.
func TestWhatAllPodsHaveIsWhatUsersHave(t *testing.T) {
	for _, phase := range []flaggerv1.CanaryPhase{flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseFailed} {
		s := edited(at(phase, 0), func(s *situation) {
			s.Plan.InPlace, s.Snapshots = true, nil
			s.State.Applied, s.State.Promoted = v1, v1
			s.Target, s.Primary = Workload{Exists: true, Revision: v3, Ready: true}, running(v2)
		})
		decision, err := s.decide()
		if err != nil || decision.State.Promoted != v2 || decision.State.Applied != v3 ||
			decision.State.Phase != flaggerv1.CanaryPhaseProgressing {
			t.Errorf("%s: %+v, %v", phase, decision.State, err)
		}
	}
}
