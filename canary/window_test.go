// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// TestErrorsOfAnotherRevisionAreNotHeldAgainstThisOne: proxies do not tell one
// canary from the next.
func TestErrorsOfAnotherRevisionAreNotHeldAgainstThisOne(t *testing.T) {
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }
	under := func(began time.Duration) flaggerv1.CanaryRelease {
		return flaggerv1.CanaryRelease{
			Revision:  v2,
			StartedAt: ago(began + time.Minute),
			Steps:     []flaggerv1.CanaryStep{{Weight: 20, At: ago(began)}},
		}
	}
	over := func(ended time.Duration, steps int) flaggerv1.CanaryRelease {
		return flaggerv1.CanaryRelease{Revision: v1, StartedAt: ago(ended + time.Hour), EndedAt: ago(ended), Verdict: flaggerv1.VerdictFailed,
			Steps: make([]flaggerv1.CanaryStep, steps)}
	}
	for name, tc := range map[string]struct {
		history []flaggerv1.CanaryRelease
		want    time.Duration // zero is the metric's own minute
	}{
		"the first release":             {[]flaggerv1.CanaryRelease{under(20 * time.Second)}, 0},
		"another one that is long over": {[]flaggerv1.CanaryRelease{under(20 * time.Second), over(2*time.Minute, 3)}, 0},
		"another one just now": {
			[]flaggerv1.CanaryRelease{under(20 * time.Second), over(30*time.Second, 3)},
			20 * time.Second,
		},
		"another one, and this one fills the window": {[]flaggerv1.CanaryRelease{under(time.Minute), over(time.Minute+time.Second, 3)}, 0},
		"another one that never had users":           {[]flaggerv1.CanaryRelease{under(20 * time.Second), over(30*time.Second, 0)}, 0},
		"another one, and one without users in between": {
			[]flaggerv1.CanaryRelease{under(20 * time.Second), over(25*time.Second, 0), over(30*time.Second, 3)},
			20 * time.Second,
		},
		"nothing is known": {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := at(flaggerv1.CanaryPhaseProgressing, 20)
			s.Plan.Metrics[0].Interval = time.Minute
			s.State.History, s.Measured = tc.history, nil
			due := Due(s.State, s.Observation, noon).Metrics
			if len(due) != 1 || due[0].Window != tc.want || due[0].Interval != time.Minute {
				t.Errorf("got %+v", due)
			}
			if sampled := SampleMetrics(s.State, s.Plan, noon); sampled[0].Window != tc.want {
				t.Errorf("samples use %+v", sampled)
			}
		})
	}
}

func TestACheckWithoutValuesInACutWindowIsPostponed(t *testing.T) {
	s := at(flaggerv1.CanaryPhaseProgressing, 20)
	s.Plan.Metrics[0].Interval = time.Minute
	s.Measured = []Measurement{{Name: successRate, NoValues: true}}
	now := metav1.NewTime(noon.Add(-10 * time.Second))
	s.State.History = []flaggerv1.CanaryRelease{
		{Revision: v2, StartedAt: now, Steps: []flaggerv1.CanaryStep{{Weight: 20, At: now}}},
		{Revision: v3, StartedAt: now, EndedAt: now, Verdict: flaggerv1.VerdictFailed, Steps: make([]flaggerv1.CanaryStep, 1)},
	}
	decision, err := s.decide()
	if err != nil {
		t.Fatal(err)
	}
	if decision.State.FailedChecks != 0 || decision.State.Weight != 20 || !decision.State.At.Equal(noon) || decision.After != time.Minute {
		t.Errorf("got %+v after %s", decision.State, decision.After)
	}
}
