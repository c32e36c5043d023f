package main

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// releases tell of the releases of a canary, the newest first.
func (p *page) releases(c *flaggerv1.Canary) {
	ranges := map[string]string{}
	for _, m := range planOf(c).Metrics {
		ranges[m.Name] = rangeOf(m)
	}
	for i := range c.Status.History {
		r := &c.Status.History[i]
		p.section("%s", releaseTitle(r))
		var rows [][]string
		if r.Reason != "" {
			rows = append(rows, []string{"reason", r.Reason})
		}
		p.lines(rows)
		p.lines(stepRows(r, ranges))
	}
}

// releaseTitle is a release in one line: what, since when, and how it ended.
func releaseTitle(r *flaggerv1.CanaryRelease) string {
	what := "Release"
	if image := imageNames(r.Images); image != "" {
		what += " of " + image
	}
	what += " (revision " + shortRevision(r.Revision) + ")"
	if r.EndedAt.IsZero() {
		return what + ", under way for " + lasted(r.StartedAt.Time)
	}
	return fmt.Sprintf("%s, %s%s after %s, %s ago", what, r.Verdict, by(r.By),
		duration.HumanDuration(r.EndedAt.Sub(r.StartedAt.Time)), lasted(r.EndedAt.Time))
}

// stepRows are the steps of a release with the last check of each.
func stepRows(r *flaggerv1.CanaryRelease, ranges map[string]string) [][]string {
	if len(r.Steps) == 0 {
		return nil
	}
	rows := [][]string{{"STEP", "LASTED", "FAILED", "METRIC", "VALUE", "GOOD", "WHY NOT"}}
	for i := range r.Steps {
		step := &r.Steps[i]
		end := r.EndedAt.Time
		if i+1 < len(r.Steps) {
			end = r.Steps[i+1].At.Time
		}
		first := []string{stepName(step), between(step.At.Time, end), failures(step.FailedChecks)}
		if len(step.Measured) == 0 {
			rows = append(rows, append(first, "not measured", "", "", ""))
		}
		for _, m := range step.Measured {
			rows = append(rows, append(first, m.Name, measured(m), ranges[m.Name], m.Failure))
			first = []string{"", "", ""}
		}
	}
	return rows
}

func stepName(s *flaggerv1.CanaryStep) string {
	switch {
	case s.Mirror:
		return "copies of requests"
	case s.Iteration > 0 && s.Weight == 0:
		return fmt.Sprintf("check %d", s.Iteration)
	case s.Iteration > 0:
		return fmt.Sprintf("check %d at %d%%", s.Iteration, s.Weight)
	default:
		return fmt.Sprintf("%d%%", s.Weight)
	}
}

func failures(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// between is how long something lasted; without an end it still does.
func between(start, end time.Time) string {
	if end.IsZero() {
		return lasted(start) + " so far"
	}
	return duration.HumanDuration(end.Sub(start))
}

func measured(m flaggerv1.CanaryMeasurement) string {
	if m.Value == nil {
		return "none"
	}
	return canary.Measurement{Name: m.Name, Value: *m.Value}.String()
}

// rangeOf says which values of a metric are good.
func rangeOf(m canary.Metric) string {
	show := func(v float64) string { return canary.Measurement{Name: m.Name, Value: v}.String() }
	switch {
	case m.Min != nil && m.Max != nil:
		return show(*m.Min) + " to " + show(*m.Max)
	case m.Min != nil:
		return "at least " + show(*m.Min)
	case m.Max != nil:
		return "at most " + show(*m.Max)
	default:
		return "any"
	}
}
