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
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

// plainRegression is one that everybody wants to be found: five times the errors.
const plainRegression = 5

// Usual is what the primary is used to.
type Usual struct {
	Errors judge.TrafficProfile
	// Slow are the requests that take longer than Over, the bound of the histogram that passing is about;
	// zero without a histogram.
	Slow judge.TrafficProfile
	Over time.Duration
}

// Outlook says how long verdicts take in the steps of the plan, with the traffic that the primary has: so that
// people choose steps that can work before a release has to wait for one. How much throughput an arm has
// is known within seconds wherever there are requests to speak of, and is left out.
func (p Plan) Outlook(u Usual) string {
	if p.Judge == nil {
		return ""
	}
	o := outlook{p.Judge, p.judgedSteps(), p.timeForVerdict()}
	var texts []string
	late := false
	if t := u.Errors; t.Requests > 0 && slices.Contains(p.Judge.Kinds, judge.Errors) {
		at := fmt.Sprintf("at %s requests a second and %s %% errors", rounded(t.Requests), rounded(100*t.Rate))
		if t.Rate <= 0 {
			at = fmt.Sprintf("at %s requests a second without errors", rounded(t.Requests))
		}
		texts, late = append(texts, at+" "+o.delays(t, "good", "the errors")), o.isLate(t)
	}
	switch t := u.Slow; {
	case !slices.Contains(p.Judge.Kinds, judge.Latency):
	case t.Requests > 0 && u.Over > 0:
		texts = append(texts, fmt.Sprintf("with %s %% of the requests over %s %s",
			rounded(100*t.Rate), u.Over, o.delays(t, "fast", "as many")))
		late = late || o.isLate(t)
	case u.Errors.Requests > 0 && p.Judge.Named:
		texts = append(texts, "no release can pass: "+trial.NoHistogram+", and "+judgeField+".metrics names latency")
	case u.Errors.Requests > 0:
		texts = append(texts, "latency is not compared: "+trial.NoHistogram)
	}
	if late {
		texts = append(texts, fmt.Sprintf("a good release passes too late: its time is up after %s, and onInconclusive (%s) decides",
			roughly(o.time), p.Judge.OnInconclusive))
	}
	return strings.Join(texts, "; ")
}

// outlook is what a judge can find out in the steps of a plan.
type outlook struct {
	judge *JudgeConfig
	steps []judge.PlannedShare
	time  time.Duration // for a verdict
}

// isLate reports whether a release that is as good as its primary does not pass in time.
func (o outlook) isLate(t judge.TrafficProfile) bool {
	if t.Rate <= 0 && o.judge.Settings.Negligible == 0 {
		return false // said in other words
	}
	after, ok := o.judge.Settings.Expect(t, without(o.steps, o.judge.Warmup), o.judge.Settings.Tolerated, len(o.judge.Kinds))
	return !ok || o.judge.Warmup+after > o.time
}

// delays are how long it takes until a release that is as good passes, and until others are found.
func (o outlook) delays(t judge.TrafficProfile, good, bad string) string {
	s := o.judge.Settings
	passes := o.expect(t, s.Tolerated)
	if t.Rate <= 0 {
		if s.Negligible == 0 {
			return fmt.Sprintf("there is nothing to pass a release by: onInconclusive (%s) decides", o.judge.OnInconclusive)
		}
		return fmt.Sprintf("a release that is as %s passes %s", good, passes)
	}
	takes := []string{
		fmt.Sprintf("a release that is as %s passes %s", good, passes),
		fmt.Sprintf("%s times %s are found %s", rounded(s.Regression), bad, o.expect(t, s.Regression)),
	}
	if s.Regression < plainRegression {
		takes = append(takes, fmt.Sprintf("%d times %s", plainRegression, o.expect(t, plainRegression)))
	}
	return strings.Join(takes, ", ")
}

// expect says after how long a canary that is ratio times as bad is decided about, from when it gets its first users.
func (o outlook) expect(t judge.TrafficProfile, ratio float64) string {
	after, ok := o.judge.Settings.Expect(t, without(o.steps, o.judge.Warmup), ratio, len(o.judge.Kinds))
	if !ok {
		return "never"
	}
	return "after about " + roughly(o.judge.Warmup+after)
}

// without leaves out the first part of the steps; the last one goes on for as long as it takes.
func without(steps []judge.PlannedShare, first time.Duration) []judge.PlannedShare {
	for len(steps) > 1 && first >= steps[0].Lasts {
		first, steps = first-steps[0].Lasts, steps[1:]
	}
	if len(steps) > 1 {
		steps = slices.Clone(steps)
		steps[0].Lasts -= first
	}
	return steps
}

// judgedSteps are the steps in which the arms are compared. Copies of requests are as many as the
// requests.
func (p Plan) judgedSteps() []judge.PlannedShare {
	var steps []judge.PlannedShare
	for _, step := range p.Steps {
		if !p.judged(step) {
			continue
		}
		share := 0.5
		if step.Weight > 0 && !step.Mirror {
			share = float64(step.Weight) / 100
		}
		steps = append(steps, judge.PlannedShare{Share: share, Lasts: p.Interval})
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
