// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// TestKnownDefects has one case for each way in which Flagger 1.44 was seen to
// lose a revision, to promote what nobody measured, or to take an application
// down.
func TestKnownDefects(t *testing.T) {
	progressing, failed := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseFailed
	for name, tc := range map[string]decisionCase{
		"a revision that arrives with the last check is not promoted": {
			given:     edited(at(progressing, 50), func(s *situation) { s.Target = running(v3) }),
			wantPhase: progressing, wantApplied: v3, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v3}", "StartTarget{}"},
			wantEvents:  "New revision detected! Restarting analysis for podinfo.test",
		},
		"a revision that arrives during the promotion loses its users, and the pinned one goes on": {
			given:     edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) { s.Target, s.Primary = rolling(v3), rolling(v2) }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"},
		},
		"the pinned revision is promoted from its snapshot": {
			given:     edited(at(flaggerv1.CanaryPhasePromoting, 0), func(s *situation) { s.Target = rolling(v3) }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "SetPrimary{v2}"}[1:],
		},
		"a fix after a failed promotion is analysed on the healthy canary": {
			given: edited(at(failed, 100), func(s *situation) {
				s.Target, s.Primary, s.State.Promoted, s.Snapshots = running(v3), stuck(v2), "flagger", nil
			}), wantPhase: progressing, wantWeight: 100, wantApplied: v3, wantPromoted: "flagger",
			wantActions: []string{"Snapshot{v3}", "StartTarget{}"},
			wantEvents:  "New revision detected! Scaling up podinfo.test",
		},
		"a fix that fails leaves users on the only pods that answer": {
			given: edited(at(progressing, 100), func(s *situation) {
				s.State.Fallback = &flaggerv1.CanaryFallback{Weight: 20}
				s.Primary = Workload{Exists: true, Revision: v1, Replicas: 2, Stuck: true, Why: "broken"}
				s.State.FailedChecks, s.Measured[0].Value = 1, 10
			}), wantPhase: failed, wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantProblem: "Canary failed, traffic stays on it: podinfo-primary.test not ready: broken. Reason: " +
				"Halt podinfo.test advancement success rate 10.00% < 99%",
			wantEvents: "Halt podinfo.test advancement success rate 10.00% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 2\nCanary failed! Scaling down podinfo.test",
		},
		"a revision pushed while the primary is unfit is not forgotten": {
			given: edited(at(failed, 0), func(s *situation) {
				s.Target, s.Primary = stopped(v3), rolling(v1)
			}), wantPhase: failed, wantApplied: v2, wantPromoted: v1,
		},
		"a revert in Git ends the analysis without promoting": {
			given:     edited(at(progressing, 40), func(s *situation) { s.Target = running(v1) }),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1, wantResult: ResultReverted,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents:  "Revision reverted! Ending analysis of podinfo.test without promotion",
		},
		"a revert after a failure stays failed, and the same revision can be tried again": {
			given:     edited(at(failed, 0), func(s *situation) { s.Target = stopped(v1) }),
			wantPhase: failed, wantApplied: v1, wantPromoted: v1,
		},
		"a revert after a failure says what had failed": {
			given: edited(at(failed, 0), func(s *situation) {
				s.Target = stopped(v1)
				s.State.History = History{{Revision: v2, EndedAt: metav1.NewTime(noon), Verdict: flaggerv1.VerdictFailed, Reason: "lag"}}
			}),
			wantPhase: failed, wantApplied: v1, wantPromoted: v1,
		},
		"weights that an edit reset come back": {
			given: edited(at(progressing, 40), func(s *situation) {
				s.Weights, s.State.At = provider.ToPrimary, noon
			}), wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{60 40 false}}"},
		},
		"a rollout that is never ready is told": {
			given:     edited(at(progressing, 0), func(s *situation) { s.Target = stuck(v2) }),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rolling back podinfo.test progress deadline exceeded canary deployment podinfo.test not ready: rolling\n" +
				"Canary failed! Scaling down podinfo.test",
		},
		"a rollback webhook is heard before the release begins": {
			given:     waitingAt(withHooks(arriving(waiting), confirmRollout, rollbackHook), confirmRollout),
			wantPhase: waiting, wantApplied: v1, wantPromoted: v1, wantDue: "rollback", wantHold: "gate confirm-rollout by gate",
		},
		"of a primary that was scaled to zero there is nothing to lose": {
			given: edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) {
				s.State.Applied, s.Primary, s.Snapshots = v1, stopped(v1), nil
			}),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantActions: []string{"Snapshot{v2}", "StartTarget{}"},
			wantEvents: "New revision detected! Scaling up podinfo.test",
		},
		"a gate that Flagger waits at keeps its weight": {
			given: edited(at(flaggerv1.CanaryPhaseWaitingPromotion, 50), func(s *situation) {
				s.State.At = noon
			}), wantPhase: flaggerv1.CanaryPhaseWaitingPromotion,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1,
		},
		"snapshots that nobody needs any more go": {
			given:     edited(at(failed, 0), func(s *situation) { s.Snapshots = map[string]bool{v1: true, v2: true, v3: true} }),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantActions: []string{"StopTarget{}", "Prune{[v1 v2]}"},
		},
		"users leave a missing primary before it is made again, which may be refused": {
			given:     edited(at(failed, 0), func(s *situation) { s.Primary = Workload{} }),
			wantPhase: failed, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}"},
			wantProblem: "Restoring podinfo-primary.test; podinfo-primary.test is missing",
			wantEvents:  "Routing all traffic to canary, podinfo-primary.test is missing",
		},
		"a missing primary gets what was promoted, not what failed": {
			given: edited(at(failed, 100), func(s *situation) {
				s.Primary, s.State.Fallback = Workload{}, &flaggerv1.CanaryFallback{}
			}),
			wantPhase: failed, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v1}"},
			wantProblem: "Restoring podinfo-primary.test; podinfo-primary.test is missing",
			wantEvents:  "podinfo-primary.test is missing, restoring it",
		},
		"users leave a canary without pods while the gate of the next revision does not answer": {
			given: withHooks(edited(at(failed, 100), func(s *situation) {
				s.Target, s.Primary, s.State.Fallback = gone(v3), rolling(v1), &flaggerv1.CanaryFallback{}
			}), confirmRollout),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"},
		},
		"users whom a lost step left on the canary leave it while a gate does not answer": {
			given: withHooks(edited(at(flaggerv1.CanaryPhaseSucceeded, 40), func(s *situation) {
				s.Target, s.State.Promoted = running(v3), v2
				s.Primary, s.Snapshots = running(v2), nil
			}), confirmRollout),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v2, wantPromoted: v2,
			wantActions: []string{"SetWeights{{100 0 false}}"},
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestBlueGreenAndMirror(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	plan := func(routed bool, a flaggerv1.CanaryAnalysis) Plan {
		p := Plan{Routed: routed}
		if err := p.setSteps(&a); err != nil {
			t.Fatal(err)
		}
		p.Threshold = 1
		return p
	}
	run := func(p Plan, weight, iterations int) situation {
		return edited(at(progressing, weight), func(s *situation) {
			s.Plan, s.State.Iterations, s.Measured = p, iterations, nil
			s.Weights = p.weights(s.State)
		})
	}
	services := plan(false, flaggerv1.CanaryAnalysis{Iterations: 2})
	routed := plan(true, flaggerv1.CanaryAnalysis{Iterations: 2})
	copied := plan(true, flaggerv1.CanaryAnalysis{Iterations: 2, Mirror: true})
	mirror := plan(true, flaggerv1.CanaryAnalysis{StepWeight: 50, MaxWeight: 60, Mirror: true})
	chosen := plan(true, flaggerv1.CanaryAnalysis{Iterations: 1, Match: make([]flaggerv1.HTTPMatchRequest, 1)})
	for name, tc := range map[string]decisionCase{
		"without a router iterations move nobody": {
			given: run(services, 0, 0), wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Starting canary analysis for podinfo.test\nAdvance podinfo.test canary iteration 1/2",
		},
		"without a router the last iteration promotes": {
			given: run(services, 0, 2), wantPhase: flaggerv1.CanaryPhasePromoting, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test",
		},
		"with a router the last iteration switches": {
			given: run(routed, 0, 2), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}"}, wantEvents: "Routing all traffic to canary",
		},
		"the end of mirroring is told": {
			given: run(copied, 0, 2), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}"}, wantEvents: "Stop traffic mirroring and route all traffic to canary",
		},
		"with a router what was switched is promoted": {
			given: run(routed, 100, 3), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test",
		},
		"mirroring comes before the first weight": {
			given: run(mirror, 0, 0), wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 true}}"},
			wantEvents:  "Starting canary analysis for podinfo.test\nMirroring traffic to podinfo.test",
		},
		"the first weight ends mirroring": {
			given: run(mirror, 0, 1), wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{50 50 false}}"}, wantEvents: "Advance podinfo.test canary weight 50",
		},
		"weights stop at the maximum": {
			given: run(mirror, 50, 1), wantPhase: progressing, wantWeight: 60, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{40 60 false}}"}, wantEvents: "Advance podinfo.test canary weight 60",
		},
		"an A/B test sends all chosen users to the canary": {
			given: run(chosen, 0, 0), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}"},
			wantEvents:  "Starting canary analysis for podinfo.test\nAdvance podinfo.test canary iteration 1/1",
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestUsersWhomALostStepMovedAreNotSentToADeadPrimary: the step was cut off before
// its status was written, and the route cannot be read just now.
func TestUsersWhomALostStepMovedAreNotSentToADeadPrimary(t *testing.T) {
	s := at(flaggerv1.CanaryPhaseProgressing, 0)
	s.Weights, s.RoutePending = provider.Weights{}, true
	s.Target, s.Primary = rolling(v3), Workload{Exists: true, Revision: v1, Replicas: 2, Why: "gone"}
	decision, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range decision.Actions {
		if to, ok := action.(SetWeights); ok {
			t.Errorf("users get %v", to)
		}
	}
}

// A kill after users had left a condemned canary, and before that was recorded, was taken
// for pods that were missing: a failed check, after which users got the canary again.
func TestARollbackThatWasNotRecordedGivesNobodyTheCanaryAgain(t *testing.T) {
	progressing, failed := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseFailed
	lost := func(weight int) situation {
		return edited(at(progressing, weight), func(s *situation) {
			s.Target, s.Weights, s.Unrecorded = stopped(v2), provider.ToPrimary, true
		})
	}
	rolledBack := func(given situation) decisionCase {
		return decisionCase{
			given: given, wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rolling back podinfo.test the controller was stopped while it rolled back\n" +
				"Canary failed! Scaling down podinfo.test",
		}
	}
	deadCheck := func(given situation) decisionCase {
		return decisionCase{
			given: given, wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"}, wantEvents: "Halt podinfo.test advancement canary has no available pods",
		}
	}
	for name, tc := range map[string]decisionCase{
		"it stays rolled back": rolledBack(lost(40)),
		"also if the gateway has not taken up yet that users left": rolledBack(edited(lost(40), func(s *situation) {
			s.Weights, s.RoutePending = provider.Weights{}, true
		})),
		"also if users had left the primary": rolledBack(edited(lost(100), func(s *situation) {
			s.State.Fallback = &flaggerv1.CanaryFallback{Weight: 20}
		})),
		"an autoscaler scaled it to zero before the gateway took up the step": deadCheck(edited(lost(20), func(s *situation) {
			s.Weights, s.RoutePending, s.Unrecorded = provider.Weights{}, true, false
		})),
		"a canary that somebody else scaled to zero has users still": deadCheck(edited(lost(40), func(s *situation) {
			s.Weights = provider.Split(40)
		})),
		"also if the gateway refuses the route, so that nobody knows whether users left": rolledBack(edited(lost(40), func(s *situation) {
			s.Weights, s.RoutePending, s.RouteRefused = provider.Weights{}, true, true
		})),
		"also if the primary was deleted meanwhile, which is made again next": rolledBack(edited(lost(40), func(s *situation) {
			s.Primary = Workload{}
		})),
		"a canary that has no users yet is started": {
			given: lost(0), wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantActions: []string{"StartTarget{}"},
		},
	} {
		t.Run(name, tc.run)
	}
}

// A step had led users to the canary, its status was lost, and the gateway had not taken up the
// route: its weights were those of the recorded step only once the gateway had.
func TestUsersWhomALostStepMovedLeaveACanaryThatHasLostItsPods(t *testing.T) {
	lost := edited(at(flaggerv1.CanaryPhaseProgressing, 0), func(s *situation) {
		s.Weights, s.RoutePending, s.Target = provider.Weights{}, true, gone(v2)
	})
	for name, tc := range map[string]struct {
		given situation
		want  bool
	}{
		"to a primary that answers":           {lost, true},
		"not to one that answers as little":   {edited(lost, func(s *situation) { s.Primary = gone(v1) }), false},
		"not from one that answers":           {edited(lost, func(s *situation) { s.Target = running(v2) }), false},
		"not if its pods are their own route": {edited(lost, func(s *situation) { s.Plan.InPlace = true }), false},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := tc.given.decide()
			if got := slices.Contains(decision.Actions, Action(SetWeights{provider.ToPrimary})); err != nil || got != tc.want {
				t.Errorf("%v, %v", actionNames(decision.Actions), err)
			}
		})
	}
}
