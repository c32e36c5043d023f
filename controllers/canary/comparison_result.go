// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// restate says now and then what the primary is like, and at once if the judge is not to be trusted
// any more, or again.
func (c *comparison) restate(now time.Time) {
	failed := c.selfTest.Failed(c.plan.Judge.Settings.Alpha)
	due := c.baseline.Windows >= matureWindows && now.Sub(c.restatedAt) >= restatedEvery
	if !due && failed == c.latest.ThresholdsOnly {
		return
	}
	if failed != c.latest.ThresholdsOnly {
		c.warnings = append(c.warnings, map[bool]string{
			true:  "Only thresholds decide about " + itself + ": " + distrust(c.selfTest),
			false: "The judge of " + itself + " decides again: its test of itself no longer fails",
		}[failed])
	}
	c.latest.ThresholdsOnly, c.restatedAt, c.statusStale, c.wakeNow = failed, now, true, true
	usual := canary.Usual{Errors: c.baseline.Traffic()}
	usual.Slow, usual.Over = c.baseline.Slow()
	c.outlook = shorten.Bytes(c.plan.Outlook(usual), maxMessage, shorten.Dots)
}

// result is what a decision on a release is to know.
func (c *comparison) result(state canary.State) canary.JudgeResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !subjectOf(state).equal(c.subject) {
		return canary.JudgeResult{ThresholdsOnly: c.distrusted()}
	}
	result := c.latest
	if result.ThresholdsOnly = c.distrusted(); result.ThresholdsOnly {
		result.Text = strings.TrimSuffix(distrust(c.selfTest)+"; "+result.Text, "; ")
	}
	if decided := result.Outcome == judge.Fail || result.Outcome == judge.Pass; c.problem != "" && !decided {
		result.Text = strings.TrimSuffix(c.problem+"; "+result.Text, "; ")
	}
	return result
}

// distrust is why the judge is not to be trusted.
func distrust(of trial.SelfTest) string {
	return fmt.Sprintf("the judge's test of itself failed: %d of %d comparisons of the primary with itself were false alarms",
		of.FalseAlarms, of.Trials)
}

// itself stands for the name of the canary in warnings.
const itself = "{canary}"

// takeWarnings are what people have yet to hear of.
func (c *comparison) takeWarnings(names canary.Names) []canary.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var events []canary.Event
	for _, text := range c.warnings {
		events = append(events, canary.Event{Warning: true, Alert: flaggerv1.SeverityWarn,
			Message: strings.ReplaceAll(text, itself, names.Canary+"."+names.Namespace)})
	}
	c.warnings = nil
	return events
}

func (c *comparison) distrusted() bool { return c.selfTest.Failed(c.plan.Judge.Settings.Alpha) }

// broken notes why there are no readings, and reports whether people should hear of it: also while nothing is released,
// since at the release it would be too late.
func (c *comparison) broken(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	c.setProblem(shorten.Bytes(err.Error(), maxMessage, shorten.Dots))
	return c.failures == unseenIsProblem
}

// remarksOf is what of a window does not count as the rest.
func remarksOf(w counter.Increments) []string {
	var remarks []string
	for _, r := range w.Told {
		if len(remarks) == flaggerv1.MaxJudgeRemarks-1 && len(w.Told)+w.Untold > flaggerv1.MaxJudgeRemarks {
			return append(remarks, fmt.Sprintf("and %d more", len(w.Told)+w.Untold-len(remarks)))
		}
		remarks = append(remarks, shorten.Bytes(r.String(), 256, shorten.Dots))
	}
	return remarks
}

// stage is what templates and Secrets are read again for.
func (c *comparison) stage() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.canary.Generation, c.subject.revision, c.state.Phase, c.state.Weight, c.state.Iterations)
}

// setProblem notes why arms cannot be compared; empty is good. That there is one, or none any more, is
// news for the next reconcile.
func (c *comparison) setProblem(why string) {
	c.statusStale = c.statusStale || (why == "") != (c.problem == "")
	c.problem = why
}

// unseenIsProblem is how many readings without the primary it takes, or how many that fail: pods that have just begun are not
// scraped yet, and a server may be slow once.
const unseenIsProblem = 2

// uncounted is what people should hear of before their first release, at which it would be too late.
const uncounted = "nothing counts the primary: the judge has nothing to compare with"

// notice notes that there is a reading, and whether it has the primary at all, also while nothing is released.
func (c *comparison) notice(r counter.Reading) {
	if c.failures > 0 {
		c.wakeNow = c.wakeNow || c.failures >= unseenIsProblem
		c.failures = 0
		c.setProblem("")
	}
	if slices.ContainsFunc(r.Samples, func(s counter.Sample) bool { return s.Arm == counter.Primary }) {
		if c.unseen = 0; strings.HasPrefix(c.problem, uncounted) {
			c.setProblem("")
			c.wakeNow = true
		}
		return
	}
	if c.unseen++; c.unseen == unseenIsProblem && c.problem == "" {
		c.setProblem(strings.TrimSuffix(uncounted+"; "+r.Hint, "; "))
		c.wakeNow = true
	}
}

// missing says that an arm is not counted.
func missing(w counter.Increments) string {
	arms := make([]string, len(w.Missing))
	for i, arm := range w.Missing {
		arms[i] = string(arm)
	}
	return fmt.Sprintf("nothing counts the %s: the judge has nothing to compare", strings.Join(arms, " and the "))
}

// infinite is the ratio of what only the canary has.
const infinite = "infinite"

// ratioText is a ratio as people read it; empty if there is none.
func ratioText(f judge.Finding) string {
	text := fmt.Sprintf("%.3g", f.Ratio)
	if text == "NaN" {
		return ""
	}
	return cmp.Or(map[string]string{"+Inf": infinite}[text], text)
}

// spec is the canary as its spec was last.
func (c *comparison) spec() *flaggerv1.Canary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.canary
}

func (c *comparison) isStatusStale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.statusStale
}

// recordInconclusive notes in the history that the time for a verdict was up.
func (c *comparison) recordInconclusive(prev, state canary.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(state.History) == 0 || state.History[0].InconclusiveAt.IsZero() ||
		len(prev.History) > 0 && !prev.History[0].InconclusiveAt.IsZero() {
		return
	}
	c.enter(canary.JudgeResult{Outcome: judge.Undecided, Text: c.latest.Text}, state.History[0].InconclusiveAt.Time)
}
