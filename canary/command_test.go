// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// withCommand is a canary to which ann gives a command.
func withCommand(s situation, verb flaggerv1.CommandVerb) situation {
	s.Command = &flaggerv1.CanaryCommand{Verb: verb, By: "ann", At: metav1.NewMicroTime(noon)}
	return s
}

// heldByBob is a release that bob has halted or paused an interval ago.
func heldByBob(s situation, kind string) situation {
	s.State.Hold = &flaggerv1.CanaryHold{Kind: kind, By: "bob", Since: metav1.NewTime(s.State.At)}
	return s
}

func TestCommands(t *testing.T) {
	progressing, failed, succeeded := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseFailed, flaggerv1.CanaryPhaseSucceeded
	bad := func(s situation) situation { return edited(s, func(s *situation) { s.Measured[0].Value = 50 }) }
	rolledBack := []string{"SetWeights{{100 0 false}}", "StopTarget{}"}
	for name, tc := range map[string]decisionCase{
		"approve opens the gate that the release waits at, at once": {
			given: withCommand(edited(waitingAt(withHooks(at(progressing, 20), confirmTraffic), confirmTraffic), func(s *situation) {
				s.State.At = noon
			}), flaggerv1.CommandApprove),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantEvents: "approve by ann: gate confirm-traffic-increase is open\nAdvance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"approve lets nobody pass who fails the check": {
			given:     withCommand(bad(waitingAt(withHooks(at(progressing, 20), confirmTraffic), confirmTraffic)), flaggerv1.CommandApprove),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1,
			wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-traffic-increase approved",
			wantEvents: "approve by ann: gate confirm-traffic-increase is open\nHalt podinfo.test advancement success rate 50.00% < 99%",
		},
		"approve begins a release that waits": {
			given:       withCommand(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandApprove),
			wantPhase:   progressing,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantEvents: "approve by ann: gate confirm-rollout is open\nNew revision detected! Scaling up podinfo.test",
		},
		"approve promotes what waits for it": {
			given:      withCommand(waitingAt(withHooks(at(waitingPromotion, 50), confirmPromotion), confirmPromotion), flaggerv1.CommandApprove),
			wantPhase:  flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantEvents: "approve by ann: gate confirm-promotion is open\n" +
				"Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"approve ends a halt": {
			given: withCommand(heldByBob(at(progressing, 20), flaggerv1.HoldHalt), flaggerv1.CommandApprove), wantPhase: progressing, wantWeight: 40,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantEvents: "approve by ann: the release goes on\nAdvance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"approve without anything that waits is refused": {
			given: withCommand(edited(at(progressing, 20), func(s *situation) {
				s.State.At = noon
			}), flaggerv1.CommandApprove), wantPhase: progressing, wantWeight: 20,
			wantApplied: v2, wantPromoted: v1, wantEvents: "approve by ann: refused: nothing waits for an approval",
		},
		"halt takes no further step": {
			given:     withCommand(at(progressing, 20), flaggerv1.CommandHalt),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold: "halt by ann", wantEvents: "halt by ann: the release is halted",
		},
		"a halted release is not promoted": {
			given: heldByBob(at(progressing, 50), flaggerv1.HoldHalt), wantPhase: progressing,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob",
		},
		"a halted release that counts does not count on": {
			given: heldByBob(edited(at(progressing, 0), func(s *situation) {
				s.Plan.Steps, s.State.Iterations = []Step{{Iteration: 1}, {Iteration: 2}}, 1
			}), flaggerv1.HoldHalt), wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob",
		},
		"a halted release is still checked": {
			given:     edited(heldByBob(at(progressing, 20), flaggerv1.HoldHalt), func(s *situation) { s.Measured = nil }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob", wantDue: successRate,
		},
		"a halted release can fail": {
			given:     edited(bad(heldByBob(at(progressing, 20), flaggerv1.HoldHalt)), func(s *situation) { s.Plan.Threshold = 1 }),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: rolledBack,
			wantEvents: "Halt podinfo.test advancement success rate 50.00% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 1\nCanary failed! Scaling down podinfo.test",
		},
		"pause asks nothing and judges nothing": {
			given:     heldByBob(bad(at(progressing, 20)), flaggerv1.HoldPause),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold: "pause by bob",
		},
		"samples of a paused release decide nothing": {
			given:     edited(heldByBob(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) { s.Alarm = "lag" }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantHold: "pause by bob",
		},
		"users leave a paused canary that has no pods": {
			given: edited(heldByBob(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) {
				s.Target.Available, s.Target.Ready = 0, false
			}),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1, wantHold: "pause by bob",
			wantActions: rolledBack[:1], wantEvents: "Halt podinfo.test advancement canary has no available pods",
		},
		"another revision starts over, and the pause was not for it": {
			given:     edited(heldByBob(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) { s.Target = running(v3) }),
			wantPhase: progressing, wantApplied: v3, wantPromoted: v1, wantActions: []string{
				"SetWeights{{100 0 false}}",
				"Snapshot{v3}",
				"StartTarget{}",
			},
			wantEvents: "New revision detected! Restarting analysis for podinfo.test",
		},
		"abort rolls back now": {
			given: withCommand(edited(at(progressing, 20), func(s *situation) { s.State.At = noon }), flaggerv1.CommandAbort), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: rolledBack,
			wantEvents: "Rolling back podinfo.test aborted by ann\nCanary failed! Scaling down podinfo.test\nabort by ann: rolled back",
		},
		"abort gives up what waits to begin": {
			given: withCommand(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandAbort), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: rolledBack,
			wantEvents: "Rolling back podinfo.test aborted by ann\nCanary failed! Scaling down podinfo.test\nabort by ann: rolled back",
		},
		"abort without a release is refused": {
			given: withCommand(edited(at(succeeded, 0), func(s *situation) {
				s.State.Applied, s.Target = v1, stopped(v1)
			}), flaggerv1.CommandAbort), wantPhase: succeeded,
			wantApplied: v1, wantPromoted: v1, wantActions: []string{"Prune{[v1]}"},
			wantEvents: "abort by ann: refused: no release is under way, the phase is Succeeded",
		},
		"abort during the promotion is refused, and says what to do": {
			given: withCommand(edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) {
				s.Primary = rolling(v2)
			}), flaggerv1.CommandAbort), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantEvents: "abort by ann: refused: the promotion has begun; go back in Git",
		},
		"promote leaves out the rest": {
			given: withCommand(edited(bad(at(progressing, 20)), func(s *situation) {
				s.State.At, s.Measured = noon, nil
			}), flaggerv1.CommandPromote), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantEvents: "promote by ann: promoted once its pods are ready\nCopying podinfo.test template spec to podinfo-primary.test",
		},
		"halt takes back a promotion that waits for the pods": {
			given: withCommand(edited(at(progressing, 0), func(s *situation) {
				s.Target, s.State.History = rolling(v2), History{{Revision: v2, Reason: promotionCommanded, By: "bob"}}
			}), flaggerv1.CommandHalt),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantHold: "halt by ann",
			wantEvents: "halt by ann: the release is halted; the promotion that was commanded is taken back",
		},
		"a release that is paused is not promoted for having no analysis": {
			given:     edited(heldByBob(at(progressing, 0), flaggerv1.HoldPause), func(s *situation) { s.Plan.Skip = true }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantHold: "pause by bob",
		},
		"promote waits for the pods": {
			given:     withCommand(edited(at(progressing, 0), func(s *situation) { s.Target = rolling(v2) }), flaggerv1.CommandPromote),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantEvents: "promote by ann: promoted once its pods are ready",
		},
		"promote passes the first gate, too": {
			given:       withCommand(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandPromote),
			wantPhase:   progressing,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"Snapshot{v2}", "StartTarget{}", "StartTarget{}"},
			wantEvents: "promote by ann: promoted once its pods are ready",
		},
		"promote of something else than what was tried is refused": {
			given:     withCommand(edited(at(progressing, 20), func(s *situation) { s.Target = running(v3) }), flaggerv1.CommandPromote),
			wantPhase: progressing, wantApplied: v3, wantPromoted: v1, wantActions: []string{
				"SetWeights{{100 0 false}}",
				"Snapshot{v3}",
				"StartTarget{}",
			},
			wantEvents: "promote by ann: refused: the target is not the revision under analysis any more\n" +
				"New revision detected! Restarting analysis for podinfo.test",
		},
		"retry tries a failed revision again": {
			given: withCommand(edited(at(failed, 0), func(s *situation) {
				s.Target = stopped(v2)
			}), flaggerv1.CommandRetry), wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantEvents:  "retry by ann: the revision is analysed again\nNew revision detected! Scaling up podinfo.test",
		},
		"retry has to pass the first gate": {
			given: withCommand(withHooks(edited(at(failed, 0), func(s *situation) {
				s.Target = stopped(v2)
			}), confirmRollout), flaggerv1.CommandRetry), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"retry without a failure is refused": {
			given: withCommand(edited(at(succeeded, 0), func(s *situation) { s.State.Promoted = v2 }), flaggerv1.CommandRetry), wantPhase: succeeded,
			wantApplied: v2, wantPromoted: v2, wantActions: []string{"StopTarget{}", "Prune{[v2]}"},
			wantEvents: "retry by ann: refused: there is no failed revision",
		},
	} {
		t.Run(name, tc.run)
	}
}

// A release of which bob had commanded the promotion, and ann that it stays where it is, was
// promoted as soon as its pods were ready.
func TestAReleaseThatWasHaltedAfterItsPromotionWasCommandedIsAnalysedOnceItGoesOn(t *testing.T) {
	s := at(flaggerv1.CanaryPhaseProgressing, 0)
	for _, next := range []struct {
		verb   flaggerv1.CommandVerb
		target Workload
		want   int
	}{
		{flaggerv1.CommandPromote, rolling(v2), 0},
		{flaggerv1.CommandPause, rolling(v2), 0},
		{"", running(v2), 0},
		{flaggerv1.CommandApprove, running(v2), 20},
	} {
		s.Command, s.Target = nil, next.target
		if next.verb != "" {
			s = withCommand(s, next.verb)
		}
		decision, err := s.decide()
		if err != nil || decision.State.Phase != flaggerv1.CanaryPhaseProgressing || decision.State.Weight != next.want {
			t.Fatalf("%q: %s at weight %d, %v", next.verb, decision.State.Phase, decision.State.Weight, err)
		}
		s.State = decision.State
	}
}

func TestACommandIsCarriedOutOnceAndSaysWhatBecameOfIt(t *testing.T) {
	s := withCommand(at(flaggerv1.CanaryPhaseProgressing, 20), flaggerv1.CommandHalt)
	decision, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	last := decision.State.LastCommand
	if last == nil || !last.Same(*s.Command) || last.Outcome != "the release is halted" {
		t.Fatalf("got %+v", last)
	}
	s.State, s.Command = decision.State, nil
	decision, err = Decide(s.State, s.Observation, noon.Add(time.Minute))
	if err != nil || decision.State.LastCommand != last || len(decision.Events) > 0 {
		t.Errorf("again: %+v, %q, %v", decision.State.LastCommand, messages(decision.Events), err)
	}
}
