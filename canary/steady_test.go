// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// TestAtRest has what happens while nothing is released.
func TestAtRest(t *testing.T) {
	succeeded, failed := flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed
	resting := func(edit func(*situation)) situation {
		return edited(at(succeeded, 0), func(s *situation) {
			s.State.Promoted, s.Target, s.Primary, s.Snapshots, s.Measured = v2, stopped(v2), running(v2), map[string]bool{v2: true}, nil
			edit(s)
		})
	}
	for name, tc := range map[string]decisionCase{
		"nothing happens": {given: resting(func(*situation) {}), wantPhase: succeeded, wantApplied: v2, wantPromoted: v2},
		"a target that somebody scaled up is scaled down again": {
			given:     resting(func(s *situation) { s.Target = running(v2) }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"StopTarget{}"},
		},
		"but it has the users while the primary has no pods": {
			given:     resting(func(s *situation) { s.Target, s.Primary = running(v2), gone(v2) }),
			wantPhase: succeeded, wantWeight: 100, wantApplied: v2, wantPromoted: v2, wantActions: []string{"SetWeights{{0 100 false}}"},
			wantEvents: "Routing all traffic to canary, podinfo-primary.test not ready: gone",
		},
		"and not while nobody knows where users go": {
			given:     resting(func(s *situation) { s.Target, s.Weights, s.RoutePending = running(v2), provider.Weights{}, true }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2,
		},
		"a target that failed and was scaled up is scaled down again": {
			given:     edited(at(failed, 0), func(s *situation) { s.Measured = nil }),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantActions: []string{"StopTarget{}"},
		},
		"weights that somebody changed come back": {
			given:     resting(func(s *situation) { s.Weights = provider.Split(30) }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"SetWeights{{100 0 false}}"},
		},
		"a missing target is a problem": {
			given:     resting(func(s *situation) { s.Target = Workload{} }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2,
			wantProblem: "spec.targetRef: Deployment test/podinfo does not exist; create it, or correct the reference",
		},
		"a missing primary comes back with what was promoted": {
			given:     resting(func(s *situation) { s.Primary = Workload{} }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"SetPrimary{v2}"},
			wantEvents: "podinfo-primary.test is missing, restoring it",
		},
		"a revision that comes while the primary is unfit waits, and is not forgotten": {
			given:     resting(func(s *situation) { s.Target, s.Primary = stopped(v3), rolling(v2) }),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2,
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestMaintenance has what every decision on a running canary puts back, and in which order.
func TestMaintenance(t *testing.T) {
	for name, tc := range map[string]struct {
		plan Plan
		want string
	}{
		"users":                    {Plan{Routed: true}, "EnsureServices EnsureApex EnsureRoute"},
		"users whom nobody routes": {Plan{}, "EnsureServices EnsureApex EnsureRoute"},
		"an autoscaler":            {Plan{Routed: true, Autoscaled: true}, "EnsureServices EnsureApex EnsureRoute EnsureScaler"},
		"a worker":                 {Plan{Worker: true}, ""},
		"a worker that scales":     {Plan{Worker: true, Autoscaled: true}, "EnsureScaler"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, phase := range []flaggerv1.CanaryPhase{
				flaggerv1.CanaryPhaseSucceeded,
				flaggerv1.CanaryPhaseFailed,
				flaggerv1.CanaryPhaseProgressing,
				flaggerv1.CanaryPhasePromoting,
			} {
				s := edited(at(phase, 0), func(s *situation) { s.Plan, s.Target = tc.plan, stopped(v2) })
				decision, err := s.decide()
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, a := range decision.Actions {
					if name := strings.TrimPrefix(fmt.Sprintf("%T", a), "canary."); strings.HasPrefix(name, "Ensure") {
						got = append(got, name)
					}
				}
				if strings.Join(got, " ") != tc.want {
					t.Errorf("%s: %v", phase, got)
				}
			}
		})
	}
}

func TestAWorkerHasNoServicesFromTheStart(t *testing.T) {
	w := newSimulation(t, planFor(t, strategies["worker"], 2), 1)
	for range 30 {
		decision := w.reconcile()
		for _, a := range decision.Actions {
			switch a.(type) {
			case EnsureServices, EnsureApex, EnsureRoute, SetWeights:
				t.Fatalf("%s: %T", w.state.Phase, a)
			}
		}
		w.elapse(max(decision.After, 1))
	}
}

// A primary that has no pods because there is nothing to do is not down: its users
// would be sent to a version that nobody has measured.
func TestAPrimaryThatSleepsIsNotDown(t *testing.T) {
	asleep := Workload{Exists: true, Revision: v1, Ready: true, Idle: true}
	waking := Workload{Exists: true, Revision: v1, Replicas: 1, Idle: true, Why: "waking"}
	for name, tc := range map[string]decisionCase{
		"a release begins": {
			given: edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) {
				s.State.Applied, s.Primary, s.Target = v1, asleep, stopped(v2)
			}),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{
				"SetWeights{{100 0 false}}",
				"Snapshot{v2}",
				"StartTarget{}",
			}, wantEvents: "New revision detected! Scaling up podinfo.test",
		},
		"and waits for it to wake": {
			given:     edited(at(flaggerv1.CanaryPhaseProgressing, 0), func(s *situation) { s.Primary = waking }),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Starting canary analysis for podinfo.test\nHalt podinfo.test advancement podinfo-primary.test not ready: waking",
		},
		"one that wakes before a release": {
			given: edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) {
				s.State.Applied, s.Primary, s.Target = v1, waking, stopped(v2)
			}),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1, wantActions: []string{"Prune{[v1]}"},
		},
	} {
		t.Run(name, tc.run)
	}
}
