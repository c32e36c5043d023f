// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

const before, under = "5b8f9c7d", "6d4cf56d" // what Flagger calls v1 and v2

// flagger is a status that Flagger left in a phase, for v2 while the primary is as
// given. Nobody has kept a snapshot.
func flagger(phase flaggerv1.CanaryPhase, primary Workload) situation {
	return edited(at(phase, 0), func(s *situation) {
		s.State.Applied, s.State.Promoted, s.Primary, s.Snapshots = before, before, primary, nil
	})
}

// recognised is the same with the release of v2 recorded.
func recognised(phase flaggerv1.CanaryPhase, live int, primary Workload) situation {
	return edited(flagger(phase, primary), func(s *situation) {
		s.State.Applied, s.Recognised, s.Weights = under, true, provider.Split(live)
	})
}

func TestTakingOverFromFlagger(t *testing.T) {
	progressing, succeeded, failed := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed
	promoting, waits := flaggerv1.CanaryPhasePromoting, flaggerv1.CanaryPhaseWaitingPromotion
	for name, tc := range map[string]decisionCase{
		"a primary that is what Git says needs no analysis": {
			given:     flagger(succeeded, running(v2)),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"Snapshot{v2}", "StopTarget{}"},
		},
		"a primary that somebody restarted needs none either": {
			given: edited(recognised(succeeded, 0, running("")), func(s *situation) {
				s.State.Promoted, s.Target = under, stopped(v2)
			}),
			wantPhase: succeeded, wantApplied: v2, wantPromoted: v2, wantActions: []string{"Snapshot{v2}"},
		},
		"what failed stays failed": {
			given:     flagger(failed, running("")),
			wantPhase: failed, wantApplied: v2, wantPromoted: before, wantActions: []string{"StopTarget{}"},
		},
		"what failed stays failed, for certain": {
			given:     edited(recognised(failed, 0, running("")), func(s *situation) { s.Target = stopped(v2) }),
			wantPhase: failed, wantApplied: v2, wantPromoted: before,
		},
		"a failed revision that Git takes back is recognised by the primary": {
			given: edited(flagger(failed, running(v1)), func(s *situation) {
				s.State.Applied, s.Target = v2, stopped(v1)
			}),
			wantPhase: failed, wantApplied: v1, wantPromoted: v1,
		},
		"users whom a failed promotion left on the canary stay there": {
			given:     recognised(failed, 100, stuck("")),
			wantPhase: failed, wantWeight: 100, wantApplied: v2, wantPromoted: before,
			wantProblem: "Canary failed, traffic stays on it: podinfo-primary.test not ready: rolling",
		},
		"a revision that nobody noticed is analysed": {
			given:     flagger(succeeded, running("")),
			wantPhase: progressing, wantApplied: v2, wantPromoted: before,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantEvents:  "New revision detected! Scaling up podinfo.test",
		},
		"an analysis goes on from its weight": {
			given:     recognised(progressing, 20, running("")),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: before,
			wantActions: []string{"Snapshot{v2}", "SetWeights{{60 40 false}}"},
			wantEvents:  "Advance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"a closed gate keeps the weight that Flagger does not report": {
			given: edited(recognised(waits, 50, running("")), func(s *situation) {
				s.State.Iterations, s.State.At, s.Measured = -1, noon, nil
			}),
			wantPhase: waits, wantWeight: 50, wantApplied: v2, wantPromoted: before, wantActions: []string{"Snapshot{v2}"},
		},
		"all users stay on a green version at a closed gate": {
			given: edited(recognised(waits, 100, running("")), func(s *situation) {
				s.Plan.Steps = []Step{{Iteration: 1}, {Iteration: 2, Weight: 100}}
			}),
			wantPhase: promoting, wantWeight: 100, wantApplied: v2, wantPromoted: before,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"an analysis of something that is gone starts over": {
			given:     edited(flagger(progressing, running("")), func(s *situation) { s.State.Weight = 40 }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: before,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantEvents:  "New revision detected! Restarting analysis for podinfo.test",
		},
		"an analysis of what was taken back ends": {
			given:     flagger(progressing, running(v2)),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v2, wantPromoted: v2, wantResult: ResultReverted,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents:  "Revision reverted! Ending analysis of podinfo.test without promotion",
		},
		"a promotion goes on": {
			given:     flagger(promoting, running(v2)),
			wantPhase: flaggerv1.CanaryPhaseFinalising, wantApplied: v2, wantPromoted: before,
			wantActions: []string{"SetWeights{{100 0 false}}"}, wantEvents: "Routing all traffic to primary",
		},
		"a promotion that Flagger had begun but not recorded goes on": {
			given:     recognised(progressing, 50, rolling(v2)),
			wantPhase: promoting, wantWeight: 50, wantApplied: v2, wantPromoted: before,
		},
		"users stay on the canary until its promotion is done": {
			given:     recognised(promoting, 100, rolling(v2)),
			wantPhase: promoting, wantWeight: 100, wantApplied: v2, wantPromoted: before,
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestUsersKeepTheCookiesThatFlaggerGaveThem until their release ends.
func TestUsersKeepTheCookiesThatFlaggerGaveThem(t *testing.T) {
	s := edited(recognised(flaggerv1.CanaryPhaseProgressing, 20, running("")), func(s *situation) {
		s.Plan.Affinity = &flaggerv1.SessionAffinity{CookieName: "sticky", PrimaryCookieName: "stay"}
		s.State.Cookies = Cookies{Canary: "sticky=LpsIaLdoNZ", Primary: "stay=xGTOGfFqXa"}
	})
	decision, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.State.Cookies, decision.State.Cookies); diff != "" {
		t.Error(diff)
	}
}
