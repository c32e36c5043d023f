package canary

import (
	"time"
)

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
