// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"testing"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
)

// The times were computed from the formulas of the doc comments by another program.
func TestHowLongAVerdictTakes(t *testing.T) {
	steps := []judge.PlannedShare{{0.1, time.Minute}, {0.2, time.Minute}, {0.3, time.Minute}, {0.4, time.Minute}, {0.5, time.Minute}}
	for name, tc := range map[string]struct {
		traffic judge.TrafficProfile
		ratio   float64
		metrics int
		change  func(*judge.Settings)
		steps   []judge.PlannedShare // if they are others
		want    time.Duration        // 0 is never
	}{
		"a doubling of rare errors takes hours": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.001}, ratio: 2, want: 2*time.Hour + 10*time.Minute + 38500*time.Millisecond},
		"one that is hardly more than is tolerated": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.01}, ratio: 2, change: func(s *judge.Settings) { s.Tolerated = 1.25 },
			want: 29*time.Minute + 33400*time.Millisecond},
		"what is tolerated passes": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.01}, ratio: 1.2, change: func(s *judge.Settings) { s.Tolerated = 1.25 },
			want: 28*time.Minute + 11200*time.Millisecond},
		"five times the errors takes minutes": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.001}, ratio: 5, want: 15*time.Minute + 58*time.Second},
		"as one of four metrics it takes a few more": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.001}, ratio: 5, metrics: 4, want: 19*time.Minute + 8500*time.Millisecond},
		"bursts make it as many times as long": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.001, Dispersion: 3}, ratio: 5, want: 46*time.Minute + 13300*time.Millisecond},
		"a hundred times is seen with the first fifty requests": {
			traffic: judge.TrafficProfile{Requests: 100, Rate: 0.001}, ratio: 100, want: 5 * time.Second},
		"few requests take as long as they take to be minSamples": {
			traffic: judge.TrafficProfile{Requests: 1, Rate: 0.5}, ratio: 100, want: 3*time.Minute + 35*time.Second},
		"unless any number of requests will do": {
			traffic: judge.TrafficProfile{Requests: 1, Rate: 0.5}, ratio: 100, change: func(s *judge.Settings) { s.MinSamples = 0 },
			want: 700 * time.Millisecond},
		"as good as the primary passes": {
			traffic: judge.TrafficProfile{Requests: 100, Rate: 0.01}, ratio: 1, want: 2*time.Minute + 27700*time.Millisecond},
		"a bit sooner if nothing is negligible": {
			traffic: judge.TrafficProfile{Requests: 100, Rate: 0.01}, ratio: 1, change: func(s *judge.Settings) { s.Negligible = 0 },
			want: 2*time.Minute + 15*time.Second},
		"half as bad as the primary passes later, as errors are rare": {
			traffic: judge.TrafficProfile{Requests: 100, Rate: 0.001}, ratio: 0.5, want: 6*time.Minute + 30400*time.Millisecond},
		"so few errors that they are negligible": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.0002}, ratio: 1, want: 31*time.Minute + 52100*time.Millisecond},
		"likewise, in bursts": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.0002, Dispersion: 3}, ratio: 1,
			want: time.Hour + 31*time.Minute + 36400*time.Millisecond},
		"so few if nothing is negligible": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.0002}, ratio: 1, change: func(s *judge.Settings) { s.Negligible = 0 },
			want: 11*time.Hour + 47*time.Minute + 47900*time.Millisecond},
		"no errors are negligible": {
			traffic: judge.TrafficProfile{Requests: 10}, ratio: 1, want: 17*time.Minute + 3800*time.Millisecond},
		"no errors are never known to be as few if nothing is": {
			traffic: judge.TrafficProfile{Requests: 10}, ratio: 1, change: func(s *judge.Settings) { s.Negligible = 0 }},
		"no errors are never seen to be worse":    {traffic: judge.TrafficProfile{Requests: 10}, ratio: 5},
		"no requests are never seen to be slower": {traffic: judge.TrafficProfile{Rate: 0.1}, ratio: 5},
		"errors of one request in a quarter of an hour take years": {
			traffic: judge.TrafficProfile{Requests: 0.001, Rate: 0.0005}, ratio: 2},
		"a first step without users adds what it lasts": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.01}, ratio: 5,
			steps: []judge.PlannedShare{{0, time.Minute}, {0.1, time.Minute}, {0.2, time.Hour}}, want: 3*time.Minute + 23500*time.Millisecond},
		"one with all users, too, for want of a primary": {
			traffic: judge.TrafficProfile{Requests: 10, Rate: 0.01}, ratio: 5,
			steps: []judge.PlannedShare{{1, time.Minute}, {0.5, time.Hour}}, want: 2*time.Minute + 30800*time.Millisecond},
		"never without steps": {traffic: judge.TrafficProfile{Requests: 10, Rate: 0.01}, ratio: 5, steps: []judge.PlannedShare{}},
	} {
		t.Run(name, func(t *testing.T) {
			settings, plan := judge.Default(), steps
			if tc.change != nil {
				tc.change(&settings)
			}
			if tc.steps != nil {
				plan = tc.steps
			}
			got, ok := settings.Expect(tc.traffic, plan, tc.ratio, tc.metrics)
			if ok != (tc.want > 0) || (got-tc.want).Abs() > 100*time.Millisecond {
				t.Errorf("%s (%v), want %s", got, ok, tc.want)
			}
		})
	}
}
