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
	yes = Answer{OK: true, Webhook: "gate", Agreed: []string{"gate"}}
	no  = Answer{Webhook: "gate", Why: "403 Forbidden"}
)

// with gives a canary webhooks of these types, which have not been called yet.
func with(s situation, hooks ...flaggerv1.HookType) situation {
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

// says is the answer of the webhooks of a type.
func says(s situation, hook flaggerv1.HookType, answer Answer) situation {
	s = with(s, hook)
	answers := map[flaggerv1.HookType]Answer{hook: answer}
	for other, said := range s.Answers {
		answers[other] = said
	}
	s.Answers = answers
	return s
}

// closed is a gate that was found closed an interval ago.
func closed(s situation, gate flaggerv1.HookType) situation {
	s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: gate, By: "gate", Since: metav1.NewTime(s.State.At)}
	return s
}

// arriving is a new revision that nobody has taken up.
func arriving(phase flaggerv1.CanaryPhase) situation {
	return because(at(phase, 0), func(s *situation) {
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
			given: with(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout), wantPhase: flaggerv1.CanaryPhaseSucceeded,
			wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"a release that nobody objects to begins": {
			given: says(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout, yes), wantPhase: flaggerv1.CanaryPhaseProgressing,
			wantApplied: v2, wantPromoted: v1, wantActions: begins,
			wantSaid: "Confirm-rollout check gate passed\nNew revision detected! Scaling up podinfo.test",
		},
		"one that somebody objects to waits, and no pod starts": {
			given: says(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout, no), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantSaid: "Halt podinfo.test advancement waiting for approval gate",
		},
		"one that waits after a failure waits the same": {
			given: because(says(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout, no), func(s *situation) { s.Target.Revision, s.State.Applied = v3, v2 }), wantPhase: waiting,
			wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantSaid: "Halt podinfo.test advancement waiting for approval gate",
		},
		"skipping the analysis does not skip the gate": {
			given:     because(with(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout), func(s *situation) { s.Plan.Skip = true }),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout",
		},
		"the gate is not asked again within the interval": {
			given:     because(closed(with(arriving(waiting), confirmRollout), confirmRollout), func(s *situation) { s.State.At = noon }),
			wantPhase: waiting, wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
		},
		"the gate is asked again after the interval": {
			given: closed(with(arriving(waiting), confirmRollout), confirmRollout), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantDue: "confirm-rollout", wantHold: "gate confirm-rollout by gate",
		},
		"a gate that stays closed is no news": {
			given: closed(says(arriving(waiting), confirmRollout, no), confirmRollout), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
		},
		"a gate that opens lets the release begin": {
			given: closed(says(arriving(waiting), confirmRollout, yes), confirmRollout), wantPhase: flaggerv1.CanaryPhaseProgressing,
			wantApplied: v2, wantPromoted: v1, wantActions: begins,
			wantSaid: "Confirm-rollout check gate passed\nNew revision detected! Scaling up podinfo.test",
		},
		"a release that waits can be rolled back": {
			given: closed(says(with(arriving(waiting), confirmRollout), rollbackHook, yes), confirmRollout), wantPhase: flaggerv1.CanaryPhaseFailed,
			wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantSaid: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"also while a person has halted it": {
			given: heldBy(says(with(arriving(waiting), confirmRollout), rollbackHook, yes), flaggerv1.HoldHalt), wantPhase: flaggerv1.CanaryPhaseFailed,
			wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantSaid: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"one that is halted is asked about each interval": {
			given: heldBy(with(arriving(waiting), confirmRollout, rollbackHook), flaggerv1.HoldHalt), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "halt by bob", wantDue: "rollback",
		},
		"and goes on waiting when nobody wants it back": {
			given: heldBy(says(with(arriving(waiting), confirmRollout), rollbackHook, no), flaggerv1.HoldHalt), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "halt by bob",
		},
		"one that is paused is not": {
			given: heldBy(with(arriving(waiting), confirmRollout, rollbackHook), flaggerv1.HoldPause), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "pause by bob",
		},
		"a gate by annotation needs no webhook": {
			given: gated(arriving(flaggerv1.CanaryPhaseSucceeded)), wantPhase: waiting,
			wantApplied: v1, wantPromoted: v1, wantHold: "gate confirm-rollout by annotation sluice.dev/gates",
			wantSaid: "Halt podinfo.test advancement waiting for approval annotation sluice.dev/gates",
		},
		"a revision that is gone needs no approval": {
			given:     because(closed(with(arriving(waiting), confirmRollout), confirmRollout), func(s *situation) { s.Target = stopped(v1) }),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1,
		},
		"a fix for users on the canary waits where they are": {
			given: because(says(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout, no), func(s *situation) {
				s.State.Weight, s.Weights, s.State.Applied, s.Target, s.Primary = 100, provider.Split(100), v2, running(v3), stuck(v1)
			}),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantWeight: 100, wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-rollout by gate",
			wantSaid: "Halt podinfo.test advancement waiting for approval gate",
		},
		"and is not asked for at every look": {
			given: closed(because(with(arriving(flaggerv1.CanaryPhaseFailed), confirmRollout), func(s *situation) {
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
			given: with(first, preRollout), wantPhase: progressing, wantApplied: v2, wantPromoted: v1, wantDue: "pre-rollout",
		},
		"pre-rollout is not asked of a canary that is not ready": {
			given:     because(with(first, preRollout), func(s *situation) { s.Target = rolling(v2) }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
		},
		"a canary that passes gets its first users": {
			given: says(first, preRollout, yes), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{80 20 false}}"},
			wantSaid:    "Starting canary analysis for podinfo.test\nPre-rollout check gate passed\nAdvance podinfo.test canary weight 20",
		},
		"one that does not has failed a check, and no user sees it": {
			given: says(first, preRollout, no), wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantSaid: "Starting canary analysis for podinfo.test\nHalt podinfo.test advancement pre-rollout check gate failed 403 Forbidden",
		},
		"pre-rollout is asked again an interval after it failed": {
			given:     because(with(first, preRollout), func(s *situation) { s.State.FailedChecks, s.State.At = 1, noon }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
		},
		"a check asks webhooks and metrics together": {
			given: fresh(with(at(progressing, 20), rollout, rollbackHook)), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantDue: "request-success-rate rollout rollback",
		},
		"a rollout webhook that fails is a failed check": {
			given: says(at(progressing, 20), rollout, no), wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantSaid: "Halt podinfo.test advancement external check gate failed 403 Forbidden",
		},
		"all that fails is told, and counts once": {
			given:     because(says(at(progressing, 20), rollout, no), func(s *situation) { s.Measured[0].Value = 50 }),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantSaid: "Halt podinfo.test advancement external check gate failed 403 Forbidden\nHalt podinfo.test advancement success rate 50.00% < 99%",
		},
		"a rollback webhook rolls back": {
			given: says(at(progressing, 20), rollbackHook, yes), wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantVerdict: VerdictFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantSaid: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"a rollback webhook is not kept waiting by slow metrics": {
			given: fresh(says(at(progressing, 20), rollbackHook, yes)), wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantVerdict: VerdictFailed, wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantSaid: "Rollback check gate passed\nRolling back podinfo.test manual webhook invoked\nCanary failed! Scaling down podinfo.test",
		},
		"more users are asked for after a good check": {
			given: with(at(progressing, 20), confirmTraffic), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-traffic-increase",
		},
		"more users that nobody allows are no failed check": {
			given: says(at(progressing, 20), confirmTraffic, no), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantHold: "gate confirm-traffic-increase by gate",
			wantSaid: "Halt podinfo.test advancement waiting for traffic increase approval gate",
		},
		"checks go on while users wait": {
			given: fresh(closed(with(at(progressing, 20), confirmTraffic, rollout), confirmTraffic)), wantPhase: progressing, wantWeight: 20,
			wantApplied: v2, wantPromoted: v1, wantDue: "request-success-rate rollout", wantHold: "gate confirm-traffic-increase by gate",
		},
		"checks still fail while users wait": {
			given:     because(closed(says(at(progressing, 20), confirmTraffic, no), confirmTraffic), func(s *situation) { s.Measured[0].Value = 50 }),
			wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1, wantHold: "gate confirm-traffic-increase by gate",
			wantSaid: "Halt podinfo.test advancement success rate 50.00% < 99%",
		},
		"the promotion is an increase of users, too": {
			given: with(at(progressing, 50), confirmTraffic, confirmPromotion), wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-traffic-increase",
		},
		"the promotion is asked for last": {
			given: with(says(at(progressing, 50), confirmTraffic, yes), confirmPromotion), wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantDue: "confirm-promotion",
		},
		"a promotion that nobody allows waits with its users": {
			given: says(at(progressing, 50), confirmPromotion, no), wantPhase: waitingPromotion, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantHold: "gate confirm-promotion by gate", wantSaid: "Halt podinfo.test advancement waiting for promotion approval gate",
		},
		"a release that waits for its promotion can still fail": {
			given: because(closed(says(at(waitingPromotion, 50), confirmPromotion, no), confirmPromotion), func(s *situation) {
				s.Measured[0].Value, s.State.FailedChecks = 50, 1
			}), wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantSaid: "Halt podinfo.test advancement success rate 50.00% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 2\nCanary failed! Scaling down podinfo.test",
		},
		"a promotion that is allowed begins": {
			given: closed(says(at(waitingPromotion, 50), confirmPromotion, yes), confirmPromotion), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetPrimary{v2}"},
			wantSaid: "Confirm-promotion check gate passed\nCopying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"post-rollout is told of a success": {
			given:     with(because(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }), postRollout),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v2, wantPromoted: v2, wantVerdict: VerdictPromoted,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}", "Notify{post-rollout}"}, wantSaid: "Promotion completed! Scaling down podinfo.test",
		},
		"post-rollout is told of a failure": {
			given:     with(because(at(progressing, 20), func(s *situation) { s.Alarm = "lag 7.00 in 3 samples in a row" }), postRollout),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantVerdict: VerdictFailed,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}", "Notify{post-rollout}"},
			wantSaid:    "Rolling back podinfo.test at once, lag 7.00 in 3 samples in a row\nCanary failed! Scaling down podinfo.test",
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
		"a new canary":           {because(at(flaggerv1.CanaryPhaseInitializing, 0), func(s *situation) { s.Target, s.State.Applied, s.State.Promoted = running(v1), "", "" }), "info"},
		"a new revision":         {arriving(flaggerv1.CanaryPhaseSucceeded), "info"},
		"a good stage":           {at(progressing, 20), ""},
		"a failed check":         {because(at(progressing, 20), func(s *situation) { s.Measured[0].Value = 50 }), ""},
		"too many failed checks": {because(at(progressing, 20), func(s *situation) { s.Measured[0].Value, s.Plan.Threshold = 50, 1 }), "error"},
		"a deadline, of which Flagger says nothing":                     {because(at(progressing, 20), func(s *situation) { s.Target = stuck(v2) }), "error"},
		"samples that are decisive":                                     {because(at(progressing, 20), func(s *situation) { s.Alarm = "lag" }), "error"},
		"a rollback webhook":                                            {says(at(progressing, 20), rollbackHook, yes), "warn"},
		"a gate that is closed":                                         {says(at(progressing, 20), confirmTraffic, no), "warn"},
		"a gate that is still closed, of which Flagger tells each time": {closed(says(at(progressing, 20), confirmTraffic, no), confirmTraffic), ""},
		"a gate whose owner wants no alerts":                            {says(at(progressing, 20), confirmTraffic, Answer{Webhook: "gate", Muted: true}), ""},
		"a promotion":                                                   {because(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }), "info"},
		"a promotion without analysis":                                  {because(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary, s.Plan.Skip = running(v2), true }), "info"},
		"a promotion that fails":                                        {because(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) { s.Primary = stuck(v2) }), "error"},
	} {
		t.Run(name, func(t *testing.T) {
			step, err := tc.given.decide()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range step.Events {
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
