package canary

import (
	"time"
)

// windowed returns the metrics with the windows that they may use now. The proxy
// does not tell one revision of the canary from the next: a window that reaches
// back to users of another revision would hold its errors against this one, and
// begins with this revision instead.
func windowed(s Observation, now time.Time) []Metric {
	since, other, ok := firstUse(s.State)
	metrics := make([]Metric, len(s.Plan.Metrics))
	for i, m := range s.Plan.Metrics {
		if ok && other.Add(m.Interval).After(now) && since.Add(m.Interval).After(now) {
			m.Window = max(now.Sub(since).Truncate(time.Second), time.Second)
		}
		metrics[i] = m
	}
	return metrics
}

// firstUse returns when the revision under analysis was first in use, and when
// another one last was; false if there is no such other.
func firstUse(s State) (since, other time.Time, ok bool) {
	if len(s.History) < 2 || !s.History[0].EndedAt.IsZero() || len(s.History[0].Steps) == 0 {
		return time.Time{}, time.Time{}, false
	}
	for _, earlier := range s.History[1:] {
		if len(earlier.Steps) > 0 {
			return s.History[0].Steps[0].At.Time, earlier.EndedAt.Time, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// SampleMetrics returns the metrics of a sample taken now, with their windows.
func SampleMetrics(s Observation, now time.Time) []Metric { return windowed(s, now) }
