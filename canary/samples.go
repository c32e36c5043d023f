package canary

import "fmt"

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
