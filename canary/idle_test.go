package canary

import (
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// A primary that has no pods because there is nothing to do is not down: its users
// would be sent to a version that nobody has measured.
func TestAPrimaryThatSleepsIsNotDown(t *testing.T) {
	asleep := Workload{Exists: true, Revision: v1, Ready: true, Idle: true}
	waking := Workload{Exists: true, Revision: v1, Replicas: 1, Idle: true, Why: "waking"}
	for name, tc := range map[string]decisionCase{
		"a release begins": {
			given: because(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) {
				s.State.Applied, s.Primary, s.Target = v1, asleep, stopped(v2)
			}),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"}, wantSaid: "New revision detected! Scaling up podinfo.test",
		},
		"and waits for it to wake": {
			given:     because(at(flaggerv1.CanaryPhaseProgressing, 0), func(s *situation) { s.Primary = waking }),
			wantPhase: flaggerv1.CanaryPhaseProgressing, wantApplied: v2, wantPromoted: v1,
			wantSaid: "Starting canary analysis for podinfo.test\nHalt podinfo.test advancement podinfo-primary.test not ready: waking",
		},
		"one that wakes before a release": {
			given: because(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) {
				s.State.Applied, s.Primary, s.Target = v1, waking, stopped(v2)
			}),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v1, wantPromoted: v1, wantActions: []string{"Prune{[v1]}"},
		},
	} {
		t.Run(name, tc.run)
	}
}
