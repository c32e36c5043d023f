// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Pods of a Job that started in mid-release with the labels of the target kept its users
// until the Job had ended: the release only waited.
func TestUsersLeaveACanaryThatHasPodsOfOthers(t *testing.T) {
	const why = "pod one.test of Job migrate has all labels"
	shared := func(s *situation) {
		s.Target.Ready, s.Target.Shared, s.Target.Why = false, true, why
	}
	progressing, promoting := flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhasePromoting
	for name, tc := range map[string]decisionCase{
		"in the middle of an analysis, which is no failed check": {
			given:     edited(at(progressing, 40), shared),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"},
			wantEvents:  "Halt podinfo.test advancement " + why,
		},
		"and it does not begin again before they are gone": {
			given:     edited(at(progressing, 0), shared),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
		},
		"while its primary is promoted": {
			given: edited(at(promoting, 40), func(s *situation) {
				shared(s)
				s.Primary = rolling(v2)
			}),
			wantPhase: promoting, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"},
		},
		"but not for a primary that answers nobody": {
			given: edited(at(progressing, 40), func(s *situation) {
				shared(s)
				s.Primary = gone(v1)
			}),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1,
			wantProblem: "canary deployment podinfo.test not ready: " + why + "; podinfo-primary.test not ready: gone",
		},
	} {
		t.Run(name, tc.run)
	}
}
