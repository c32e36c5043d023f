// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// A canary kept its users while its spec was refused, and nobody measured it.
func TestUsersLeaveACanaryThatNobodyCanJudge(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	serves := Workload{Exists: true, Ready: true, Replicas: 2, Available: 2}
	rolling := Workload{Exists: true, Replicas: 2, Available: 1}
	step := State{Phase: flaggerv1.CanaryPhaseProgressing, Weight: 20, Iterations: 3, Applied: "b", Promoted: "a", At: now.Add(-time.Hour)}
	in := func(phase flaggerv1.CanaryPhase, fallback *flaggerv1.CanaryFallback) State {
		s := step
		s.Phase, s.Weight, s.Fallback = phase, 100, fallback
		return s
	}
	tested := step
	tested.Weight = 0
	for name, tc := range map[string]struct {
		prev      State
		primary   Workload
		inPlace   bool
		wantStays string // why users stay; empty is that they leave
		wantSteps int
	}{
		"in the middle of an analysis":                             {prev: step, primary: serves},
		"while the primary is being rolled out for another reason": {prev: step, primary: rolling},
		"while it waits for the last gate":                         {prev: in(flaggerv1.CanaryPhaseWaitingPromotion, nil), primary: serves},
		"after the promotion":                                      {prev: in(flaggerv1.CanaryPhasePromoting, nil), primary: serves},
		"not before the promoted primary is ready": {
			prev: in(flaggerv1.CanaryPhasePromoting, nil), primary: rolling, wantStays: "still being promoted", wantSteps: 3,
		},
		"not while only the canary answers": {
			prev:    in(flaggerv1.CanaryPhaseProgressing, &flaggerv1.CanaryFallback{Weight: 20}),
			primary: Workload{Exists: true, Replicas: 2, Why: "no pod is available"}, wantStays: "nobody judges", wantSteps: 3,
		},
		"not while there is no primary": {prev: step, wantStays: "app-primary.apps is missing", wantSteps: 3},
		"once the primary answers again": {
			prev: in(flaggerv1.CanaryPhaseProgressing, &flaggerv1.CanaryFallback{Weight: 20}), primary: serves,
		},
		"for a primary that starts when it is asked":         {prev: step, primary: Workload{Exists: true, Idle: true}},
		"pods that are both copies, of the new revision":     {prev: step, primary: Workload{Exists: true}, inPlace: true},
		"whose tests go on where it has no users, from here": {prev: tested, primary: serves, wantSteps: 3},
	} {
		t.Run(name, func(t *testing.T) {
			seen := Observation{Names: Names{Namespace: "apps", Canary: "app", Target: "app"}, Primary: tc.primary, Plan: Plan{InPlace: tc.inPlace}}
			got := LeaveUnjudged(tc.prev, seen, now)
			left := cmp.Equal(got.Actions, []Action{TakeOff{}}) && got.State.Weight == 0 && got.State.Fallback == nil && got.Message == ""
			switch {
			case tc.wantStays == "" && !left, got.State.Iterations != tc.wantSteps, got.State.Phase != tc.prev.Phase:
				t.Errorf("got %+v", got)
			case tc.wantStays != "" && (len(got.Actions) > 0 || !strings.Contains(got.Message, tc.wantStays) || got.After == 0):
				t.Errorf("got %+v", got)
			case (len(got.Events) > 0) != (tc.wantStays == "" && tc.prev.Weight > 0):
				t.Errorf("told %+v", got.Events)
			}
		})
	}
}
