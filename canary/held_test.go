// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// The deadline was counted from the beginning of the step: a release that waited for an
// hour for its approval was rolled back at once if a pod of the primary restarted just then.
func TestADeadlineCountsWhatKeepsTheReleaseAndNotWhatElseItWaitedFor(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }
	// longStep is an analysis whose step began an hour ago, and which is held since then.
	longStep := func(held time.Duration, edit func(*situation)) situation {
		return edited(at(progressing, 20), func(s *situation) {
			s.Plan.Deadline = 10 * time.Minute
			s.State.History = History{{Revision: v2, StartedAt: ago(2 * time.Hour), Steps: []flaggerv1.CanaryStep{{Weight: 20, At: ago(time.Hour)}}}}
			if held > 0 {
				s.State.History[0].HeldSince = ago(held)
			}
			edit(s)
		})
	}
	unfit := func(s *situation) { s.Primary = rolling(v1) }
	unsettled := func(s *situation) {
		s.RoutePending, s.RouteReason, s.Measured = true, "HTTPRoute test/podinfo is not yet taken up by Gateway public", nil
	}
	rolledBack := []string{"SetWeights{{100 0 false}}", "StopTarget{}"}
	for name, tc := range map[string]struct {
		given       situation
		wantPhase   flaggerv1.CanaryPhase
		wantActions []string
		wantHeld    time.Duration // negative is not
	}{
		"a primary that is unready for the first time is waited for": {longStep(0, unfit), progressing, nil, 0},
		"a route that is unsettled for the first time is waited for": {longStep(0, unsettled), progressing, nil, 0},
		"since when is kept": {longStep(time.Minute, unfit), progressing, nil, time.Minute},
		"a primary that is unready for too long ends the release": {
			longStep(11*time.Minute, unfit), flaggerv1.CanaryPhaseFailed, rolledBack, -1,
		},
		"a route that is unsettled for too long ends the release": {
			longStep(11*time.Minute, unsettled), flaggerv1.CanaryPhaseFailed, rolledBack, -1,
		},
		"what is over does not count": {
			longStep(11*time.Minute, func(*situation) {}), progressing, []string{"SetWeights{{60 40 false}}"}, -1,
		},
		"what is over between two checks does not count, either": {
			longStep(11*time.Minute, func(s *situation) { s.State.At = noon }), progressing, nil, -1,
		},
		"what has lasted for long has its time from when the check is due": {
			longStep(59*time.Minute, func(s *situation) { unfit(s); s.Plan.Interval = 55 * time.Minute; s.State.At = ago(time.Hour).Time }),
			progressing, nil, 59 * time.Minute,
		},
		"the users of a primary that is down are elsewhere, and nothing is held": {longStep(0, func(s *situation) {
			s.State.Weight, s.State.Fallback, s.Primary, s.State.At = 100, &flaggerv1.CanaryFallback{Weight: 20}, rolling(v1), noon
			s.Weights = provider.Split(100)
		}), progressing, nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := tc.given.decide()
			if err != nil {
				t.Fatal(err)
			}
			got := decision.State.History[0].HeldSince
			if want := ago(tc.wantHeld); tc.wantHeld < 0 && !got.IsZero() || tc.wantHeld >= 0 && !got.Equal(&want) {
				t.Errorf("held since %s", got)
			}
			actions := actionNames(decision.Actions)
			if decision.State.Phase != tc.wantPhase || len(actions) != len(tc.wantActions) {
				t.Errorf("%s: %v, said %q", decision.State.Phase, actions, messages(decision.Events))
			}
		})
	}
}
