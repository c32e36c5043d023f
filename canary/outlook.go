// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
)

// plainRegression is one that everybody wants to be found: five times the errors.
const plainRegression = 5

// Outlook says how long verdicts about errors take in the steps of the plan, with the traffic that
// the primary has: so that people choose steps that can work before a release has to wait for one.
func (p Plan) Outlook(t judge.Traffic) string {
	if p.Judge == nil || t.Requests <= 0 || !slices.Contains(p.Judge.Kinds, judge.Errors) {
		return ""
	}
	if t.Rate <= 0 {
		return fmt.Sprintf("at %s requests a second without errors there is nothing to pass a release by: onInconclusive (%s) decides",
			rounded(t.Requests), p.Judge.OnInconclusive)
	}
	s, steps := p.Judge.Settings, p.judgedSteps()
	at := fmt.Sprintf("at %s requests a second and %s %% errors", rounded(t.Requests), rounded(100*t.Rate))
	takes := []string{
		"a release that is as good passes " + p.expect(s, t, steps, s.Tolerated),
		fmt.Sprintf("%s times the errors are found %s", rounded(s.Regression), p.expect(s, t, steps, s.Regression)),
	}
	if s.Regression < plainRegression {
		takes = append(takes, fmt.Sprintf("%d times %s", plainRegression, p.expect(s, t, steps, plainRegression)))
	}
	return at + " " + strings.Join(takes, ", ")
}

// expect says after how long a canary that is ratio times as bad is decided about.
func (p Plan) expect(s judge.Settings, t judge.Traffic, steps []judge.Step, ratio float64) string {
	after, ok := s.Expect(t, steps, ratio, len(p.Judge.Kinds))
	if !ok {
		return "never"
	}
	return "after about " + roughly(after)
}

// judgedSteps are the steps in which the arms are compared. Copies of requests are as many as the
// requests.
func (p Plan) judgedSteps() []judge.Step {
	var steps []judge.Step
	for _, step := range p.Steps {
		if !p.judged(step) {
			continue
		}
		share := 0.5
		if step.Weight > 0 && !step.Mirror {
			share = float64(step.Weight) / 100
		}
		steps = append(steps, judge.Step{Share: share, Lasts: p.Interval})
	}
	return steps
}

// rounded writes a number with two digits that matter.
func rounded(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// roughly writes a duration as people do who do not count seconds after an hour.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", math.Ceil(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", math.Ceil(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", math.Ceil(d.Minutes()))
	default:
		return fmt.Sprintf("%.0f seconds", max(1, math.Ceil(d.Seconds())))
	}
}
