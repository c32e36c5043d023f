// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"time"
)

// Samples counts for each metric of a plan how many samples in a row were outside
// its range. A sample without a value says nothing, and neither counts nor ends a
// run: a quiet minute is no evidence. The zero value has seen nothing.
type Samples struct {
	runs map[string]int
}

// Add counts one sample of each metric, and returns what is decisive about them:
// a metric that was outside its range in [Metric.Decisive] samples in a row.
func (s *Samples) Add(p Plan, measured []Measurement) (alarm string) {
	if s.runs == nil {
		s.runs = map[string]int{}
	}
	for i, m := range measured {
		if i >= len(p.Metrics) || m.NoValues || m.Err != "" {
			continue
		}
		metric, key := p.Metrics[i], fmt.Sprint(i, m.Name)
		if metric.inRange(m.Value) {
			s.runs[key] = 0
			continue
		}
		s.runs[key]++
		if alarm == "" && s.runs[key] >= metric.Decisive {
			alarm = fmt.Sprintf("%s %s in %d samples in a row", m.Name, m, s.runs[key])
		}
	}
	return alarm
}

// Sampled reports whether metrics are to be looked at between two checks: the
// canary is being tried, on users or without them, and nobody paused it.
func Sampled(s State, p Plan) bool {
	return p.SampleEvery > 0 && len(p.Metrics) > 0 && analysing(s.Phase) && s.Started() && !paused(s.Hold)
}

// SampleMetrics returns the metrics of a plan with the windows that they may use now.
// The proxy does not tell one revision of the canary from the next: a window that
// reaches back to users of another revision would hold its errors against this one,
// and begins with this revision instead.
func SampleMetrics(s State, p Plan, now time.Time) []Metric {
	since, other, ok := s.History.firstUse()
	metrics := make([]Metric, len(p.Metrics))
	for i, m := range p.Metrics {
		if ok && other.Add(m.Interval).After(now) && since.Add(m.Interval).After(now) {
			m.Window = max(now.Sub(since).Truncate(time.Second), time.Second)
		}
		metrics[i] = m
	}
	return metrics
}
