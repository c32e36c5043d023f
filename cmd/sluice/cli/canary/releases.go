// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// addReleases adds a section for each release of a canary, the newest first.
func addReleases(p *output.Page, d report.CanaryDescription, now time.Time) {
	for i := range d.Releases {
		r := &d.Releases[i]
		p.Section("%s", releaseTitle(r, now))
		var rows [][]string
		if r.Reason != "" {
			rows = append(rows, []string{"reason", r.Reason})
		}
		p.Lines(rows)
		p.Lines(stepRows(r, d.Good, now))
	}
}

// releaseTitle is a release in one line: what, since when, and how it ended.
func releaseTitle(r *flaggerv1.CanaryRelease, now time.Time) string {
	what := "Release"
	if image := report.ImageNames(r.Images); image != "" {
		what += " of " + image
	}
	what += " (revision " + report.ShortRevision(r.Revision) + ")"
	if r.EndedAt.IsZero() {
		return what + ", under way for " + output.Ago(r.StartedAt.Time, now)
	}
	return fmt.Sprintf("%s, %s%s after %s, %s ago", what, r.Verdict, report.By(r.By),
		duration.HumanDuration(r.EndedAt.Sub(r.StartedAt.Time)), output.Ago(r.EndedAt.Time, now))
}

// stepRows are the steps of a release with the last check of each.
func stepRows(r *flaggerv1.CanaryRelease, good map[string]string, now time.Time) [][]string {
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
		first := []string{stepName(step), between(step.At.Time, end, now), failures(step.FailedChecks)}
		if len(step.Measured) == 0 {
			rows = append(rows, append(first, "not measured", "", "", ""))
		}
		for _, m := range step.Measured {
			rows = append(rows, append(first, m.Name, measured(m), good[m.Name], m.Failure))
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
func between(start, end, now time.Time) string {
	if end.IsZero() {
		return output.Ago(start, now) + " so far"
	}
	return duration.HumanDuration(end.Sub(start))
}

func measured(m flaggerv1.CanaryMeasurement) string {
	if m.Value == nil {
		return "none"
	}
	return canary.Measurement{Name: m.Name, Value: *m.Value}.String()
}
