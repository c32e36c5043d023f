// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Users of one target once got another's version: its promoted revision was restored
// under the new name.
func TestATargetIsNotGivenWhatAnotherOneHad(t *testing.T) {
	moved := func(phase flaggerv1.CanaryPhase, target, primary Workload) situation {
		return edited(at(phase, 0), func(s *situation) {
			s.State.Target, s.Identity, s.Names.Target = "Deployment/orders", "Deployment/payments", "payments"
			s.Target, s.Primary, s.State.FailedChecks = target, primary, 1
		})
	}
	for name, tc := range map[string]decisionCase{
		"a primary is made of the new target": {
			given: moved(flaggerv1.CanaryPhaseInitialized, running(v3), Workload{}), wantPhase: flaggerv1.CanaryPhaseInitializing,
			wantActions: []string{"Snapshot{v3}", "SetPrimary{v3}"},
			wantEvents:  "Target Deployment/payments is another than Deployment/orders! Initializing podinfo.test",
		},
		"what failed for the one is no verdict on the other": {
			given: moved(flaggerv1.CanaryPhaseFailed, running(v2), Workload{}), wantPhase: flaggerv1.CanaryPhaseInitializing,
			wantActions: []string{"Snapshot{v2}", "SetPrimary{v2}"},
			wantEvents:  "Target Deployment/payments is another than Deployment/orders! Initializing podinfo.test",
		},
		"a target that comes back has its primary still": {
			given: moved(flaggerv1.CanaryPhaseSucceeded, running(v3), running(v1)), wantPhase: flaggerv1.CanaryPhaseInitialized,
			wantApplied: v1, wantPromoted: v1, wantActions: []string{"SetPrimary{v1}", "SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents: "Target Deployment/payments is another than Deployment/orders! Initializing podinfo.test\nInitialization done! podinfo.test",
		},
		"one that is not there yet is waited for": {
			given: moved(flaggerv1.CanaryPhaseInitialized, Workload{}, Workload{}), wantPhase: flaggerv1.CanaryPhaseInitializing,
			wantEvents:  "Target Deployment/payments is another than Deployment/orders! Initializing podinfo.test",
			wantProblem: "spec.targetRef: Deployment test/payments does not exist; create it, or correct the reference",
		},
		"a status that does not say is about what there is": {
			given: edited(at(flaggerv1.CanaryPhaseInitialized, 0), func(s *situation) {
				s.Identity, s.State.Applied, s.Target = "Deployment/podinfo", v1, stopped(v1)
			}),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1, wantActions: []string{"Prune{[v1]}"},
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestAReleaseThatWaitedEndsWithItsTarget(t *testing.T) {
	open := flaggerv1.CanaryRelease{Revision: v2, StartedAt: metav1.NewTime(noon)}
	decision, err := edited(at(flaggerv1.CanaryPhaseWaiting, 0), func(s *situation) {
		s.State.Target, s.Identity, s.State.History = "Deployment/web", "DaemonSet/web", []flaggerv1.CanaryRelease{open}
		s.State.Hold = &flaggerv1.CanaryHold{Gate: flaggerv1.ConfirmRolloutHook}
	}).decide()
	if err != nil {
		t.Fatal(err)
	}
	open.Verdict, open.Reason, open.EndedAt = flaggerv1.VerdictSuperseded, "another target", metav1.NewTime(noon)
	if diff := cmp.Diff(History{
		open,
	}, decision.State.History); diff != "" || decision.State.Hold != nil || decision.State.Target != "DaemonSet/web" {
		t.Errorf("%s %+v", diff, decision.State)
	}
}
