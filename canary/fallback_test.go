// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Users stayed on a primary without pods for as long as the analysis waited for it.
func TestUsersGoWherePodsServe(t *testing.T) {
	progressing, succeeded := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseSucceeded
	onFallback := func(weight int, primary Workload) situation {
		return edited(at(progressing, 100), func(s *situation) {
			s.State.Fallback, s.Primary = &flaggerv1.CanaryFallback{Weight: weight}, primary
		})
	}
	without := func(s situation) situation {
		return edited(s, func(s *situation) { s.Primary = gone(s.Primary.Revision) })
	}
	moved := []string{"SetWeights{{0 100 false}}"}
	said := "Routing all traffic to canary, podinfo-primary.test not ready: gone"
	for name, tc := range map[string]decisionCase{
		"to the canary when the primary loses its pods": {
			given: without(at(progressing, 40)), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: moved, wantEvents: said,
		},
		"before the first step, too": {
			given: without(at(progressing, 0)), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: moved, wantEvents: said,
		},
		"while a person has paused the release": {
			given: edited(without(at(progressing, 20)), func(s *situation) {
				s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldPause, By: "bob"}
			}), wantPhase: progressing,
			wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantActions: moved, wantEvents: said, wantHold: "pause by bob",
		},
		"while the primary is rolled out, and has no pods for a moment": {
			given:     edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) { s.Primary = gone(v2) }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantActions: moved,
			wantEvents: "Routing all traffic to canary, podinfo-primary.test not ready: gone",
		},
		"to a canary that is rolled back, if nothing else is there": {
			given: edited(without(at(progressing, 40)), func(s *situation) {
				s.Alarm = "lag 7.00 in 3 samples in a row"
			}), wantPhase: flaggerv1.CanaryPhaseFailed,
			wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: moved,
			wantProblem: "Canary failed, traffic stays on it: podinfo-primary.test not ready: gone. Reason: lag 7.00 in 3 samples in a row",
			wantEvents:  "Rolling back podinfo.test at once, lag 7.00 in 3 samples in a row\n" + said + "\nCanary failed! Scaling down podinfo.test",
		},
		"nowhere if the canary has no pods either": {
			given:     edited(without(at(progressing, 40)), func(s *situation) { s.Target = gone(v2) }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}"},
			wantEvents:  "Halt podinfo.test advancement canary has no available pods",
			wantProblem: "Canary analysis at weight 0, step 0 of 3, 1 of 2 checks failed; podinfo-primary.test not ready: gone",
		},
		"and the analysis goes on from stage to stage": {
			given: onFallback(20, gone(v1)), wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: moved, wantEvents: "Advance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"to the primary as the stage has it, once it is ready": {
			given: onFallback(40, running(v1)), wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{60 40 false}}"}, wantEvents: "podinfo-primary.test is ready again, routing traffic to it",
		},
		"not to a primary of which only a part is there": {
			given:     edited(onFallback(40, rolling(v1)), func(s *situation) { s.State.At = noon }),
			wantPhase: progressing, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
		},
		"and what passed every stage repairs the primary": {
			given: onFallback(50, gone(v1)), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"but not to a canary that has lost its pods, once it is ready": {
			given:     edited(onFallback(40, running(v1)), func(s *situation) { s.Target = gone(v2) }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"}, wantEvents: "Halt podinfo.test advancement canary has no available pods",
		},
		"nor to one that has pods of others": {
			given:     edited(onFallback(40, running(v1)), func(s *situation) { s.Target.Shared, s.Target.Why = true, "pods of a Job" }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"}, wantEvents: "Halt podinfo.test advancement pods of a Job",
		},
		"to a canary that failed and was scaled up again, if nothing else is there": {
			given: without(at(flaggerv1.CanaryPhaseFailed, 0)), wantPhase: flaggerv1.CanaryPhaseFailed,
			wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantActions: moved, wantEvents: said,
			wantProblem: "Canary failed, traffic stays on it: podinfo-primary.test not ready: gone",
		},
		"from whom an A/B release chose, to everybody": {
			given: edited(onFallback(100, gone(v1)), func(s *situation) {
				s.Plan.ABTest, s.State.At = true, noon
			}), wantPhase: progressing, wantWeight: 100,
			wantApplied: v2, wantPromoted: v1, wantActions: moved,
		},
		"nowhere from a primary that its autoscaler let go": {
			given:     edited(without(at(progressing, 40)), func(s *situation) { s.Primary.Idle, s.State.At = true, noon }),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1,
		},
		"nowhere without a router": {
			given:     edited(without(at(succeeded, 0)), func(s *situation) { s.Plan.Routed, s.State.Applied, s.Target = false, v1, stopped(v1) }),
			wantPhase: succeeded, wantApplied: v1, wantPromoted: v1,
			wantProblem: "Canary analysis completed successfully, promotion finished; podinfo-primary.test not ready: gone",
			wantActions: []string{"Prune{[v1]}"},
		},
	} {
		t.Run(name, tc.run)
	}
}

// A revision that came while all users were on the canary had the weight of the one before it
// once the primary was back, without a check and without having been asked about.
func TestARevisionThatComesWhileThePrimaryIsDownBeginsWithItsFirstStep(t *testing.T) {
	s := edited(at(flaggerv1.CanaryPhaseProgressing, 100), func(s *situation) {
		s.State.Fallback, s.State.Iterations = &flaggerv1.CanaryFallback{Weight: 40}, 1
		s.Primary, s.Target = gone(v1), running(v3)
	})
	decision, err := s.decide()
	if err != nil || decision.State.Applied != v3 || decision.State.Weight != 100 || decision.State.Started() {
		t.Fatalf("%+v, %v", decision.State, err)
	}
	s.State, s.Primary, s.Weights = decision.State, running(v1), provider.Split(100)
	decision, err = s.decide()
	if err != nil || decision.State.Weight != 0 || !slices.Contains(decision.Actions, Action(SetWeights{provider.ToPrimary})) {
		t.Errorf("%d, %v, %v", decision.State.Weight, actionNames(decision.Actions), err)
	}
}

// A fix for a primary that was down waited for that primary, for ever.
func TestTheFixOfAPrimaryThatIsDownIsReleased(t *testing.T) {
	for name, strategy := range strategies {
		for how, begin := range map[string]func(*simulation){
			"by itself":  func(*simulation) {},
			"by command": func(w *simulation) { w.giveCommand(flaggerv1.CommandPromote) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				w := newSimulation(t, planFor(t, strategy, 2), 1)
				w.runUntilCalm()
				w.quiet, w.behaviour[revision(1)] = true, behaviour{neverStarts: true}
				w.primary.available, w.primary.rolled = 0, false
				decision := w.reconcile()
				if !strings.Contains(decision.Problem, "podinfo-primary.test not ready") || w.state.Phase != flaggerv1.CanaryPhaseInitialized {
					t.Fatalf("%s: %q", w.state.Phase, decision.Problem)
				}
				w.push(behaviour{})
				begin(w)
				w.runUntilCalm()
				want := flaggerv1.VerdictPromoted
				if w.plan.Skip {
					want = flaggerv1.VerdictSkipped
				}
				w.wantEnds(2, want)
			})
		}
	}
}

// Part of a primary is something to fall back on, and still it may be what the new
// revision mends: a person decides.
func TestAPromotionIsCommandedBesideAPrimaryThatIsNotReady(t *testing.T) {
	arrived := func(s *situation) {
		s.State.Applied, s.Target, s.Primary, s.Snapshots = v1, stopped(v2), stuck(v1), nil
	}
	command := &flaggerv1.CanaryCommand{Verb: flaggerv1.CommandPromote, By: "bob"}
	for name, tc := range map[string]decisionCase{
		"without a word it waits": {
			given:     edited(at(flaggerv1.CanaryPhaseSucceeded, 0), arrived),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1,
			wantProblem: "New revision detected, podinfo-primary.test not ready: rolling",
		},
		"by command": {
			given:     edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) { arrived(s); s.Command = command }),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1, wantActions: []string{
				"Snapshot{v2}",
				"StartTarget{}",
				"StartTarget{}",
			},
			wantEvents: "promote by bob: promoted once its pods are ready",
		},
		"by skipping the analysis": {
			given:     edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) { arrived(s); s.Plan.Skip = true }),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1, wantActions: []string{"Snapshot{v2}", "StartTarget{}"},
			wantEvents: "New revision detected! Scaling up podinfo.test",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.Measured = nil
			tc.run(t)
		})
	}
}

// Routes that no Gateway takes up were waited for without a word, and once users were
// on the canary nobody was asked about them any more.
func TestARouteThatNobodyTakesUp(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	const why = "HTTPRoute test/podinfo is not accepted by Gateway public: NotAllowedByListeners"
	refused := func(s situation) situation {
		return edited(s, func(s *situation) {
			s.Weights, s.RoutePending, s.RouteRefused, s.RouteReason, s.Measured = provider.Weights{}, true, true, why, nil
			s.State.History = []flaggerv1.CanaryRelease{{Revision: v2}}
			s.State.History[0].StartedAt.Time = noon.Add(-2 * time.Minute)
		})
	}
	answered := func(s situation, rolloutOK, rollbackOK bool) situation {
		return edited(s, func(s *situation) {
			s.Plan.Hooks = map[flaggerv1.HookType]bool{flaggerv1.RolloutHook: true, flaggerv1.RollbackHook: true}
			s.Answers = map[flaggerv1.HookType]Answer{
				flaggerv1.RolloutHook:  {OK: rolloutOK, Webhook: "smoke", Why: "500"},
				flaggerv1.RollbackHook: {OK: rollbackOK, Webhook: "takeback"},
			}
		})
	}
	for name, tc := range map[string]decisionCase{
		"keeps a release from beginning": {
			given: edited(refused(at(flaggerv1.CanaryPhaseSucceeded, 0)), func(s *situation) {
				s.State.Applied, s.State.History, s.Target, s.Snapshots = v1, nil, stopped(v2), nil
			}),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1,
			wantPromoted: v1, wantProblem: "New revision detected, and waits to be analysed; " + why,
		},
		"is a problem at rest": {
			given: edited(refused(at(flaggerv1.CanaryPhaseSucceeded, 0)), func(s *situation) {
				s.State.Promoted, s.State.History, s.Target, s.Primary = v2, nil, stopped(v2), running(v2)
			}),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"Prune{[v2]}"},
			wantProblem: "Canary analysis completed successfully, promotion finished; " + why,
		},
		"gives nobody to the canary": {
			given: refused(at(progressing, 0)), wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement " + why,
		},
		"has its webhooks asked, and nothing measured": {
			given:     edited(answered(refused(at(progressing, 20)), true, false), func(s *situation) { s.Answers = nil }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantDue: "rollout rollback",
		},
		"holds the release where it is": {
			given: answered(refused(at(progressing, 20)), true, false), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement " + why,
		},
		"does not hide a webhook that fails": {
			given:     answered(refused(at(progressing, 20)), false, false),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement external check smoke failed 500",
		},
		"does not keep users from being taken back": {
			given: answered(refused(at(progressing, 20)), true, true), wantPhase: flaggerv1.CanaryPhaseFailed,
			wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rollback check takeback passed\nRolling back podinfo.test manual webhook invoked\n" +
				"Canary failed! Scaling down podinfo.test",
		},
		"is not promoted": {
			given: refused(at(progressing, 50)), wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement " + why,
		},
		"ends the release after the deadline": {
			given: edited(refused(at(progressing, 20)), func(s *situation) {
				s.Plan.Deadline = time.Minute
				s.State.History[0].HeldSince = metav1.NewTime(noon.Add(-2 * time.Minute))
				s.State.History[0].Steps = []flaggerv1.CanaryStep{{Weight: 20, At: metav1.NewTime(noon.Add(-3 * time.Minute))}}
			}),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents:  "Rolling back podinfo.test progress deadline exceeded " + why + "\nCanary failed! Scaling down podinfo.test",
		},
	} {
		t.Run(name, tc.run)
	}
}

// A release began whose metrics could not be measured, and was rolled back for that.
func TestAReleaseWaitsForWhatMeasuresIt(t *testing.T) {
	const why = "reading MetricTemplate istio-system/nothere: not found"
	unmeasurable := func(phase flaggerv1.CanaryPhase, target Workload) situation {
		return edited(at(phase, 0), func(s *situation) {
			s.State.Applied, s.Target, s.Unmeasurable, s.Measured, s.Snapshots = v1, target, why, nil, nil
		})
	}
	for name, tc := range map[string]decisionCase{
		"with a warning when it is initialized": {
			given: edited(unmeasurable(flaggerv1.CanaryPhaseInitializing, running(v1)), func(s *situation) {
				s.State.Applied, s.State.Promoted = "", ""
			}), wantPhase: flaggerv1.CanaryPhaseInitialized,
			wantApplied: v1, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Error checking metric providers: " + why + "\nInitialization done! podinfo.test",
		},
		"and the canary is not ready for one": {
			given:     unmeasurable(flaggerv1.CanaryPhaseInitialized, stopped(v1)),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1,
			wantActions: []string{"Snapshot{v1}"}, wantProblem: "Deployment initialization completed; metrics cannot be measured: " + why,
		},
		"before it begins": {
			given:     unmeasurable(flaggerv1.CanaryPhaseSucceeded, stopped(v2)),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1,
			wantProblem: "New revision detected, and waits to be analysed; metrics cannot be measured: " + why,
		},
		"unless nothing is to be measured": {
			given:     edited(unmeasurable(flaggerv1.CanaryPhaseSucceeded, stopped(v2)), func(s *situation) { s.Plan.Skip = true }),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{
				"SetWeights{{100 0 false}}",
				"Snapshot{v2}",
				"StartTarget{}",
			}, wantEvents: "New revision detected! Scaling up podinfo.test",
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestAReleaseThatFailedSaysWhy(t *testing.T) {
	decision, err := edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) {
		s.Measured[0].Value, s.Plan.Threshold = 69.172, 1
	}).decide()
	want := "Canary analysis failed, Deployment scaled to zero. Reason: Halt podinfo.test advancement success rate 69.17% < 99%"
	if err != nil || decision.Message != want {
		t.Errorf("%q, %v", decision.Message, err)
	}
}

// The route could not be read, so that nobody knew whether users were on the canary,
// and the message said that it was scaled to zero.
func TestAReleaseThatFailedDoesNotClaimThatTheCanaryIsGone(t *testing.T) {
	given := edited(at(flaggerv1.CanaryPhaseProgressing, 0), func(s *situation) {
		s.Weights, s.RoutePending = provider.Weights{}, true
		s.Target, s.Primary = running(v3), gone(v1)
		s.Command = &flaggerv1.CanaryCommand{Verb: flaggerv1.CommandAbort, By: "ann"}
	})
	d, err := given.decide()
	want := "Canary failed, traffic stays on it: podinfo-primary.test not ready: gone. Reason: aborted by ann"
	if err != nil || d.Message != want {
		t.Errorf("%q, %v", d.Message, err)
	}
	if slices.Contains(d.Actions, Action(StopTarget{})) {
		t.Errorf("the canary is scaled down: %v", d.Actions)
	}
}
