// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

const (
	waiting          = flaggerv1.CanaryPhaseWaiting
	waitingPromotion = flaggerv1.CanaryPhaseWaitingPromotion

	confirmRollout   = flaggerv1.ConfirmRolloutHook
	confirmTraffic   = flaggerv1.ConfirmTrafficIncreaseHook
	confirmPromotion = flaggerv1.ConfirmPromotionHook
	preRollout       = flaggerv1.PreRolloutHook
	rollout          = flaggerv1.RolloutHook
	postRollout      = flaggerv1.PostRolloutHook
	rollbackHook     = flaggerv1.RollbackHook
)

var (
	yes = Answer{OK: true, Webhook: "gate", Said: []WebhookAnswer{{Name: "gate", Agreed: true}}}
	no  = Answer{Webhook: "gate", Why: "403 Forbidden"}
)

// withHooks gives a canary webhooks of these types, which have not been called yet.
func withHooks(s situation, hooks ...flaggerv1.HookType) situation {
	known := s.Plan.Hooks
	s.Plan.Hooks = map[flaggerv1.HookType]bool{}
	for hook := range known {
		s.Plan.Hooks[hook] = true
	}
	for _, hook := range hooks {
		s.Plan.Hooks[hook] = true
	}
	return s
}

// withAnswer gives a canary the answer of the webhooks of a type.
func withAnswer(s situation, hook flaggerv1.HookType, answer Answer) situation {
	s = withHooks(s, hook)
	answers := map[flaggerv1.HookType]Answer{hook: answer}
	for other, said := range s.Answers {
		answers[other] = said
	}
	s.Answers = answers
	return s
}

// waitingAt is a release that waits at a gate since an interval.
func waitingAt(s situation, gate flaggerv1.HookType) situation {
	s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: gate, By: "gate", Since: metav1.NewTime(s.State.At)}
	return s
}

// arriving is a new revision whose release has not begun.
func arriving(phase flaggerv1.CanaryPhase) situation {
	return edited(at(phase, 0), func(s *situation) {
		s.State.Applied, s.Target, s.Measured, s.Snapshots = v1, stopped(v2), nil, map[string]bool{v1: true}
	})
}

// TestTheFirstGate has what happens before a release begins.
func TestTheFirstGate(t *testing.T) {
	begins := []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"}
	gated := func(s situation) situation {
		s.Plan.Gates = []flaggerv1.HookType{confirmRollout}
		return s
	}
	for name, tc := range map[string]decisionCase{
		"confirm-rollout is asked before anything is scaled up": {
			given: withHooks(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout), wantPhase: flaggerv1.CanaryPhaseSucceeded,
			wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"a release that nobody objects to begins": {
			given: withAnswer(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout, yes), wantPhase: flaggerv1.CanaryPhaseProgressing,
			wantApplied: v2, wantPromoted: v1, wantActions: begins,
			wantEvents: "Confirm-rollout check gate passed\nNew revision detected! Scaling up podinfo.test",
		},
		"one that somebody objects to waits, and no pod starts": {
			given: withAnswer(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout, no), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantEvents: "Halt podinfo.test advancement waiting for approval gate",
		},
		"one that waits after a failure waits the same": {
			given: edited(withAnswer(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout, no), func(s *situation) {
				s.Target.Revision, s.State.Applied = v3, v2
			}), wantPhase: waiting,
			wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantEvents: "Halt podinfo.test advancement waiting for approval gate",
		},
		"skipping the analysis does not skip the gate": {
			given:     edited(withHooks(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout), func(s *situation) { s.Plan.Skip = true }),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"the gate is not asked again within the interval": {
			given:     edited(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), func(s *situation) { s.State.At = noon }),
			wantPhase: waiting, wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
		},
		"the gate is asked again after the interval": {
			given: waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout", wantHold: "gate confirm-rollout by gate",
		},
		"a gate that stays closed is no news": {
			given: waitingAt(withAnswer(arriving(waiting), confirmRollout, no), confirmRollout), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
		},
		"a gate that opens lets the release begin": {
			given: waitingAt(withAnswer(arriving(waiting), confirmRollout, yes), confirmRollout), wantPhase: flaggerv1.CanaryPhaseProgressing,
			wantApplied: v2, wantPromoted: v1, wantActions: begins,
			wantEvents: "Confirm-rollout check gate passed\nNew revision detected! Scaling up podinfo.test",
		},
		"a release that waits can be rolled back": {
			given:       waitingAt(withAnswer(withHooks(arriving(waiting), confirmRollout), rollbackHook, yes), confirmRollout),
			wantPhase:   flaggerv1.CanaryPhaseFailed,
			wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"also while a person has halted it": {
			given:       heldByBob(withAnswer(withHooks(arriving(waiting), confirmRollout), rollbackHook, yes), flaggerv1.HoldHalt),
			wantPhase:   flaggerv1.CanaryPhaseFailed,
			wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"one that is halted is asked about each interval": {
			given: heldByBob(withHooks(arriving(waiting), confirmRollout, rollbackHook), flaggerv1.HoldHalt), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "halt by bob", wantDue: "rollback",
		},
		"and goes on waiting when nobody wants it back": {
			given: heldByBob(withAnswer(withHooks(arriving(waiting), confirmRollout), rollbackHook, no), flaggerv1.HoldHalt), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "halt by bob",
		},
		"one that is paused is not": {
			given: heldByBob(withHooks(arriving(waiting), confirmRollout, rollbackHook), flaggerv1.HoldPause), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "pause by bob",
		},
		"a gate by annotation needs no webhook": {
			given: gated(arriving(flaggerv1.CanaryPhaseSucceeded)), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by annotation sluice.dev/gates",
			wantEvents: "Halt podinfo.test advancement waiting for approval annotation sluice.dev/gates",
		},
		"a revision that is gone needs no approval": {
			given: edited(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), func(s *situation) {
				s.Target = stopped(v1)
			}),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1,
		},
		"a fix for users on the canary waits where they are": {
			given: edited(withAnswer(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout, no), func(s *situation) {
				s.State.Weight, s.Weights, s.State.Applied, s.Target, s.Primary = 100, provider.Split(100), v2, running(v3), stuck(v1)
			}),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantEvents: "Halt podinfo.test advancement waiting for approval gate",
		},
		"and is not asked for each time": {
			given: waitingAt(edited(withHooks(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout), func(s *situation) {
				s.State.Weight, s.Weights, s.State.Applied, s.Target, s.Primary = 100, provider.Split(100), v2, running(v3), stuck(v1)
				s.State.At, s.State.History = noon, []flaggerv1.CanaryRelease{{Revision: v3}}
			}), confirmRollout),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestWebhooksInAnalysis has what webhooks decide while a revision is tried.
func TestWebhooksInAnalysis(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	first, fresh := at(progressing, 0), func(s situation) situation { s.Measured = nil; return s }
	first.Measured = nil
	for name, tc := range map[string]decisionCase{
		"pre-rollout is asked before the first user": {
			given: withHooks(first, preRollout), wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantDue: "pre-rollout",
		},
		"pre-rollout is not asked of a canary that is not ready": {
			given:     edited(withHooks(first, preRollout), func(s *situation) { s.Target = rolling(v2) }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
		},
		"a canary that passes gets its first users": {
			given: withAnswer(first, preRollout, yes), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{80 20 false}}"},
			wantEvents:  "Starting canary analysis for podinfo.test\nPre-rollout check gate passed\nAdvance podinfo.test canary weight 20",
		},
		"one that does not has failed a check, and no user sees it": {
			given: withAnswer(first, preRollout, no), wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Starting canary analysis for podinfo.test\nHalt podinfo.test advancement pre-rollout check gate failed 403 Forbidden",
		},
		"pre-rollout is asked again an interval after it failed": {
			given:     edited(withHooks(first, preRollout), func(s *situation) { s.State.FailedChecks, s.State.At = 1, noon }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
		},
		"a check asks webhooks and metrics together": {
			given:     fresh(withHooks(at(progressing, 20), rollout, rollbackHook)),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantDue: "request-success-rate rollout rollback",
		},
		"a rollout webhook that fails is a failed check": {
			given:     withAnswer(at(progressing, 20), rollout, no),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement external check gate failed 403 Forbidden",
		},
		"all that fails is told, and counts once": {
			given:     edited(withAnswer(at(progressing, 20), rollout, no), func(s *situation) { s.Measured[0].Value = 50 }),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement external check gate failed 403 Forbidden\n" +
				"Halt podinfo.test advancement success rate 50.00% < 99%",
		},
		"a rollback webhook rolls back": {
			given: withAnswer(at(progressing, 20), rollbackHook, yes), wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantResult: ResultFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"a rollback webhook is not kept waiting by slow metrics": {
			given:     fresh(withAnswer(at(progressing, 20), rollbackHook, yes)),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantResult: ResultFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"more users are asked for after a good check": {
			given: withHooks(at(progressing, 20), confirmTraffic), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-traffic-increase",
		},
		"more users that nobody allows are no failed check": {
			given: withAnswer(at(progressing, 20), confirmTraffic, no), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold:   "gate confirm-traffic-increase by gate",
			wantEvents: "Halt podinfo.test advancement waiting for traffic increase approval gate",
		},
		"checks go on while users wait": {
			given: fresh(waitingAt(withHooks(at(progressing, 20), confirmTraffic, rollout), confirmTraffic)), wantPhase: progressing, wantWeight: 20,
			wantApplied: v2, wantPromoted: v1, wantDue: "request-success-rate rollout", wantHold: "gate confirm-traffic-increase by gate",
		},
		"checks still fail while users wait": {
			given: edited(waitingAt(withAnswer(at(progressing, 20), confirmTraffic, no), confirmTraffic), func(s *situation) {
				s.Measured[0].Value = 50
			}),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1,
			wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-traffic-increase by gate",
			wantEvents: "Halt podinfo.test advancement success rate 50.00% < 99%",
		},
		"the promotion is an increase of users, too": {
			given:     withHooks(at(progressing, 50), confirmTraffic, confirmPromotion),
			wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-traffic-increase",
		},
		"the promotion is asked for last": {
			given:     withHooks(withAnswer(at(progressing, 50), confirmTraffic, yes), confirmPromotion),
			wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-promotion",
		},
		"a promotion that nobody allows waits with its users": {
			given:     withAnswer(at(progressing, 50), confirmPromotion, no),
			wantPhase: waitingPromotion, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantHold: "gate confirm-promotion by gate", wantEvents: "Halt podinfo.test advancement waiting for promotion approval gate",
		},
		"a release that waits for its promotion can still fail": {
			given: edited(waitingAt(withAnswer(at(waitingPromotion, 50), confirmPromotion, no), confirmPromotion), func(s *situation) {
				s.Measured[0].Value, s.State.FailedChecks = 50, 1
			}), wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Halt podinfo.test advancement success rate 50.00% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 2\nCanary failed! Scaling down podinfo.test",
		},
		"a promotion that is allowed begins": {
			given:      waitingAt(withAnswer(at(waitingPromotion, 50), confirmPromotion, yes), confirmPromotion),
			wantPhase:  flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Confirm-promotion check gate passed\nCopying podinfo.test template spec to podinfo-primary.test " +
				"(request-success-rate 99.80%)",
		},
		"post-rollout is told of a success": {
			given:     withHooks(edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }), postRollout),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v2, wantPromoted: v2, wantResult: ResultPromoted,
			wantActions: []string{
				"SetWeights{{100 0 false}}",
				"StopTarget{}",
				"Notify{post-rollout}",
			}, wantEvents: "Promotion completed! Scaling down podinfo.test",
		},
		"post-rollout is told of a failure": {
			given:     withHooks(edited(at(progressing, 20), func(s *situation) { s.Alarm = "lag 7.00 in 3 samples in a row" }), postRollout),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}", "Notify{post-rollout}"},
			wantEvents:  "Rolling back podinfo.test at once, lag 7.00 in 3 samples in a row\nCanary failed! Scaling down podinfo.test",
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestAlerts has which news chat rooms get, and how bad they are.
func TestAlerts(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	for name, tc := range map[string]struct {
		given situation
		want  string
	}{
		"a new canary": {
			edited(at(flaggerv1.CanaryPhaseInitializing, 0), func(s *situation) {
				s.Target, s.State.Applied, s.State.Promoted = running(v1), "", ""
			}),
			"info",
		},
		"a new revision":         {arriving(flaggerv1.CanaryPhaseSucceeded), "info"},
		"a good stage":           {at(progressing, 20), ""},
		"a failed check":         {edited(at(progressing, 20), func(s *situation) { s.Measured[0].Value = 50 }), ""},
		"too many failed checks": {edited(at(progressing, 20), func(s *situation) { s.Measured[0].Value, s.Plan.Threshold = 50, 1 }), "error"},
		"a deadline, of which Flagger says nothing": {
			edited(at(progressing, 20), func(s *situation) { s.Target = stuck(v2) }),
			"error",
		},
		"samples that are decisive": {
			edited(at(progressing, 20), func(s *situation) { s.Alarm = "lag" }),
			"error",
		},
		"a rollback webhook":    {withAnswer(at(progressing, 20), rollbackHook, yes), "warn"},
		"a gate that is closed": {withAnswer(at(progressing, 20), confirmTraffic, no), "warn"},
		"a gate that is still closed, of which Flagger tells each time": {
			waitingAt(withAnswer(at(progressing, 20), confirmTraffic, no), confirmTraffic),
			"",
		},
		"a gate whose owner wants no alerts": {
			withAnswer(at(progressing, 20), confirmTraffic, Answer{Webhook: "gate", Muted: true}),
			"",
		},
		"a promotion": {
			edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }),
			"info",
		},
		"a promotion without analysis": {
			edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary, s.Plan.Skip = running(v2), true }),
			"info",
		},
		"a promotion that fails": {
			edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) { s.Primary = stuck(v2) }),
			"error",
		},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := tc.given.decide()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range decision.Events {
				if e.Alert != "" {
					got = append(got, string(e.Alert))
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
