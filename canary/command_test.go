package canary

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// told is a canary to which ann says something.
func told(s situation, verb flaggerv1.CommandVerb) situation {
	s.Command = &flaggerv1.CanaryCommand{Verb: verb, By: "ann", At: metav1.NewMicroTime(noon)}
	return s
}

// stopped by bob an interval ago.
func heldBy(s situation, kind string) situation {
	s.State.Hold = &flaggerv1.CanaryHold{Kind: kind, By: "bob", Since: metav1.NewTime(s.State.At)}
	return s
}

func TestCommands(t *testing.T) {
	progressing, failed, succeeded := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseFailed, flaggerv1.CanaryPhaseSucceeded
	bad := func(s situation) situation { return because(s, func(s *situation) { s.Measured[0].Value = 50 }) }
	rolledBack := []string{"SetWeights{{100 0 false}}", "StopTarget{}"}
	for name, tc := range map[string]decisionCase{
		"approve opens the gate that the release waits at, at once": {
			given:     told(because(closed(with(at(progressing, 20), confirmTraffic), confirmTraffic), func(s *situation) { s.State.At = noon }), flaggerv1.CommandApprove),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantSaid: "approve by ann: gate confirm-traffic-increase is open\nAdvance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"approve lets nobody pass who fails the check": {
			given:     told(bad(closed(with(at(progressing, 20), confirmTraffic), confirmTraffic)), flaggerv1.CommandApprove),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-traffic-increase approved",
			wantSaid: "approve by ann: gate confirm-traffic-increase is open\nHalt podinfo.test advancement success rate 50.00% < 99%",
		},
		"approve begins a release that waits": {
			given: told(closed(with(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandApprove), wantPhase: progressing,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantSaid: "approve by ann: gate confirm-rollout is open\nNew revision detected! Scaling up podinfo.test",
		},
		"approve promotes what waits for it": {
			given: told(closed(with(at(waitingPromotion, 50), confirmPromotion), confirmPromotion), flaggerv1.CommandApprove), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetPrimary{v2}"},
			wantSaid: "approve by ann: gate confirm-promotion is open\nCopying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"approve ends a halt": {
			given: told(heldBy(at(progressing, 20), flaggerv1.HoldHalt), flaggerv1.CommandApprove), wantPhase: progressing, wantWeight: 40,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantSaid: "approve by ann: the release goes on\nAdvance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"approve without anything that waits is refused": {
			given: told(because(at(progressing, 20), func(s *situation) { s.State.At = noon }), flaggerv1.CommandApprove), wantPhase: progressing, wantWeight: 20,
			wantApplied: v2, wantPromoted: v1, wantSaid: "approve by ann: refused: nothing waits for an approval",
		},
		"halt takes no further step": {
			given: told(at(progressing, 20), flaggerv1.CommandHalt), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold: "halt by ann", wantSaid: "halt by ann: the release is halted",
		},
		"a halted release is not promoted": {
			given: heldBy(at(progressing, 50), flaggerv1.HoldHalt), wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob",
		},
		"a halted release that counts does not count on": {
			given: heldBy(because(at(progressing, 0), func(s *situation) {
				s.Plan.Steps, s.State.Iterations = []Step{{Iteration: 1}, {Iteration: 2}}, 1
			}), flaggerv1.HoldHalt), wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob",
		},
		"a halted release is still checked": {
			given:     because(heldBy(at(progressing, 20), flaggerv1.HoldHalt), func(s *situation) { s.Measured = nil }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantHold: "halt by bob", wantDue: successRate,
		},
		"a halted release can fail": {
			given:     because(bad(heldBy(at(progressing, 20), flaggerv1.HoldHalt)), func(s *situation) { s.Plan.Threshold = 1 }),
			wantPhase: failed, wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed, wantActions: rolledBack,
			wantSaid: "Halt podinfo.test advancement success rate 50.00% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 1\nCanary failed! Scaling down podinfo.test",
		},
		"pause asks nothing and judges nothing": {
			given: heldBy(bad(at(progressing, 20)), flaggerv1.HoldPause), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold: "pause by bob",
		},
		"samples of a paused release decide nothing": {
			given:     because(heldBy(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) { s.Alarm = "lag" }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantHold: "pause by bob",
		},
		"users leave a paused canary that has no pods": {
			given:     because(heldBy(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) { s.Target.Available, s.Target.Ready = 0, false }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1, wantHold: "pause by bob",
			wantActions: rolledBack[:1], wantSaid: "Halt podinfo.test advancement canary has no available pods",
		},
		"another revision starts over, and the pause was not for it": {
			given:     because(heldBy(at(progressing, 20), flaggerv1.HoldPause), func(s *situation) { s.Target = running(v3) }),
			wantPhase: progressing, wantApplied: v3, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v3}", "StartTarget{}"},
			wantSaid: "New revision detected! Restarting analysis for podinfo.test",
		},
		"abort rolls back now": {
			given: told(because(at(progressing, 20), func(s *situation) { s.State.At = noon }), flaggerv1.CommandAbort), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed, wantActions: rolledBack,
			wantSaid: "Rolling back podinfo.test aborted by ann\nCanary failed! Scaling down podinfo.test\nabort by ann: rolled back",
		},
		"abort gives up what waits to begin": {
			given: told(closed(with(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandAbort), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed, wantActions: rolledBack,
			wantSaid: "Rolling back podinfo.test aborted by ann\nCanary failed! Scaling down podinfo.test\nabort by ann: rolled back",
		},
		"abort without a release is refused": {
			given: told(because(at(succeeded, 0), func(s *situation) { s.State.Applied, s.Target = v1, stopped(v1) }), flaggerv1.CommandAbort), wantPhase: succeeded,
			wantApplied: v1, wantPromoted: v1, wantActions: []string{"Prune{[v1]}"},
			wantSaid: "abort by ann: refused: no release is under way, the phase is Succeeded",
		},
		"abort during the promotion is refused, and says what to do": {
			given: told(because(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) { s.Primary = rolling(v2) }), flaggerv1.CommandAbort), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantSaid: "abort by ann: refused: the promotion has begun; go back in Git",
		},
		"promote leaves out the rest": {
			given: told(because(bad(at(progressing, 20)), func(s *situation) { s.State.At, s.Measured = noon, nil }), flaggerv1.CommandPromote), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 20, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetPrimary{v2}"},
			wantSaid: "promote by ann: promoted once its pods are ready\nCopying podinfo.test template spec to podinfo-primary.test",
		},
		"promote waits for the pods": {
			given:     told(because(at(progressing, 0), func(s *situation) { s.Target = rolling(v2) }), flaggerv1.CommandPromote),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantSaid: "promote by ann: promoted once its pods are ready",
		},
		"promote passes the first gate, too": {
			given: told(closed(with(arriving(waiting), confirmRollout), confirmRollout), flaggerv1.CommandPromote), wantPhase: progressing,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"Snapshot{v2}", "StartTarget{}", "StartTarget{}"},
			wantSaid: "promote by ann: promoted once its pods are ready",
		},
		"promote of something else than what was tried is refused": {
			given:     told(because(at(progressing, 20), func(s *situation) { s.Target = running(v3) }), flaggerv1.CommandPromote),
			wantPhase: progressing, wantApplied: v3, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v3}", "StartTarget{}"},
			wantSaid: "promote by ann: refused: the target is not the revision under analysis any more\nNew revision detected! Restarting analysis for podinfo.test",
		},
		"retry tries a failed revision again": {
			given: told(because(at(failed, 0), func(s *situation) { s.Target = stopped(v2) }), flaggerv1.CommandRetry), wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantSaid:    "retry by ann: the revision is analysed again\nNew revision detected! Scaling up podinfo.test",
		},
		"retry has to pass the first gate": {
			given: told(with(because(at(failed, 0), func(s *situation) { s.Target = stopped(v2) }), confirmRollout), flaggerv1.CommandRetry), wantPhase: failed,
			wantApplied: v2, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"retry without a failure is refused": {
			given: told(because(at(succeeded, 0), func(s *situation) { s.State.Promoted = v2 }), flaggerv1.CommandRetry), wantPhase: succeeded,
			wantApplied: v2, wantPromoted: v2, wantActions: []string{"StopTarget{}", "Prune{[v2]}"},
			wantSaid: "retry by ann: refused: there is no failed revision",
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestACommandIsCarriedOutOnceAndSaysWhatBecameOfIt(t *testing.T) {
	s := told(at(flaggerv1.CanaryPhaseProgressing, 20), flaggerv1.CommandHalt)
	step, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	last := step.State.LastCommand
	if last == nil || !last.Same(*s.Command) || last.Outcome != "the release is halted" {
		t.Fatalf("got %+v", last)
	}
	s.State, s.Command = step.State, nil
	step, err = Decide(s.State, s.Observation, noon.Add(time.Minute))
	if err != nil || step.State.LastCommand != last || len(step.Events) > 0 {
		t.Errorf("again: %+v, %q, %v", step.State.LastCommand, said(step.Events), err)
	}
}
