// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
)

// Thresholds are fixed thresholds as Flagger has them: a check at each Interval of what the
// canary did in it. A failed one adds to a count that rolls back at FailedChecks; any other goes
// on to the next of Steps, after which the release is promoted.
type Thresholds struct {
	// SuccessRate is the least percentage of requests that succeed, and Duration what 99 of a
	// hundred requests take at most; 0 checks neither.
	SuccessRate  float64
	Duration     time.Duration
	Interval     time.Duration
	FailedChecks int
	Steps        int
}

// Check reports a limit that cannot be one.
func (l Thresholds) Check() error {
	switch {
	case !(l.SuccessRate >= 0 && l.SuccessRate <= 100):
		return fmt.Errorf("a success rate of %g %% is none; it is between 0 and 100", l.SuccessRate)
	case l.Duration < 0:
		return fmt.Errorf("a duration of %s is less than nothing", l.Duration)
	case l.Interval < time.Second || l.Interval > 24*time.Hour:
		return fmt.Errorf("an interval of %s is not between a second and a day", l.Interval)
	case l.FailedChecks < 1 || l.Steps < 1:
		return errors.New("the number of failed checks and that of steps are at least 1")
	}
	return nil
}

// DefaultThresholds are the thresholds of Flagger's tutorials.
func DefaultThresholds() Thresholds {
	return Thresholds{SuccessRate: 99, Duration: 500 * time.Millisecond, Interval: time.Minute, FailedChecks: 5, Steps: 5}
}

// thresholdCheck is a release as [Thresholds] see it.
type thresholdCheck struct {
	limits Thresholds
	rule   simulate.Flagger
	since  time.Time // when the check that is under way began
	canary counter.Counts
	bounds []float64
	failed int
	done   RuleResult
}

func newThresholdCheck(l Thresholds, from time.Time) *thresholdCheck {
	return &thresholdCheck{limits: l, since: from, rule: simulate.Flagger{Threshold: l.FailedChecks, Steps: l.Steps}}
}

// evaluate adds a window, and checks what there was at the end of an interval.
func (t *thresholdCheck) evaluate(w counter.Increments, after time.Duration, errors float64) {
	if t.done.Outcome != Undecided {
		return
	}
	t.canary, t.bounds = plus(t.canary, t.bounds, w), w.Bounds
	if w.To.Sub(t.since) < t.limits.Interval {
		return
	}
	failure := t.limits.failure(t.canary, t.bounds)
	t.since, t.canary = w.To, counter.Counts{}
	t.done.After, t.done.Errors = after, errors
	if failure != "" {
		t.failed++
		t.done.Text = fmt.Sprintf("%s; %d of %d failed checks", failure, t.failed, t.limits.FailedChecks)
	}
	switch t.rule.Check(failure == "") {
	case simulate.RolledBack:
		t.done.Outcome = RolledBack
	case simulate.Promoted:
		t.done.Outcome = Promoted
		t.done.Text = fmt.Sprintf("%d good checks, %d failed ones", t.limits.Steps, t.failed)
	case simulate.Running:
	}
}

// plus adds the canary's part of a window. Slower requests are those of the window's bounds: when they
// change, what was counted for others is dropped.
func plus(sum counter.Counts, bounds []float64, w counter.Increments) counter.Counts {
	total := counter.Counts{Requests: sum.Requests + w.Canary.Requests, Errors: sum.Errors + w.Canary.Errors,
		Timed: w.Canary.Timed, Slower: make([]float64, len(w.Bounds))}
	copy(total.Slower, w.Canary.Slower)
	if len(sum.Slower) == len(w.Bounds) && len(bounds) == len(w.Bounds) {
		total.Timed += sum.Timed
		for i, slower := range sum.Slower {
			total.Slower[i] += slower
		}
	}
	return total
}

// failure says what is wrong with what the canary did; empty if nothing is.
func (l Thresholds) failure(c counter.Counts, bounds []float64) string {
	if c.Requests == 0 {
		return "the canary has no requests"
	}
	if rate := 100 * (1 - c.Errors/c.Requests); rate < l.SuccessRate {
		return fmt.Sprintf("%.3g %% of the requests succeed, less than %g %%", rate, l.SuccessRate)
	}
	if l.Duration <= 0 || c.Timed == 0 {
		return ""
	}
	if p99 := quantile(0.99, c, bounds); p99 > l.Duration.Seconds() {
		return fmt.Sprintf("99 of 100 requests take up to %s, more than %s",
			time.Duration(p99*float64(time.Second)).Round(time.Millisecond), l.Duration)
	}
	return ""
}

// quantile is the duration, in seconds, that a part of the requests does not exceed, as
// histogram_quantile of PromQL has it: by a straight line inside a bucket, and the largest bound for all
// that exceed it.
func quantile(part float64, c counter.Counts, bounds []float64) float64 {
	below, low := 0.0, 0.0
	for i, high := range bounds {
		faster := c.Timed - c.Slower[i]
		if faster >= part*c.Timed && faster > below {
			return low + (high-low)*(part*c.Timed-below)/(faster-below)
		}
		below, low = faster, high
	}
	return low
}
