// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// checkBeforeFirstStep asks what is to be asked before the canary gets its first
// users. After a failed check, and at a closed gate, it asks again once an interval.
func checkBeforeFirstStep(t transition) Decision {
	d, gates, halted := t.unchanged(), gatesOf(t), heldByPerson(t.prev.Hold)
	again := t.prev.FailedChecks > 0 || t.prev.Hold != nil || t.seen.routeUnsettled()
	if left := t.remaining(); again && left > 0 && !anyApproved(t.prev.Hold) {
		d.wait(left, "%s", progress(t))
		return d
	}
	if gates.rollbackRequested() {
		return rollBackOnRequest(t)
	}
	due := []flaggerv1.HookType{flaggerv1.RollbackHook}
	if !halted {
		due = append(due, flaggerv1.PreRolloutHook)
	}
	if missing := gates.unanswered(due...); len(missing) > 0 {
		return t.ask(Questions{Hooks: missing}, "%s", progress(t))
	}
	if halted {
		return holdStep(t)
	}
	if !again {
		d.addEvent("Starting canary analysis for %s", t.seen.target())
	}
	if answer := t.seen.Answers[flaggerv1.PreRolloutHook]; !gates.agree(flaggerv1.PreRolloutHook) {
		return t.then(d, failCheck(fmt.Sprintf("Halt %s advancement pre-rollout check %s failed %s",
			t.seen.canary(), answer.Webhook, answer.Why)))
	}
	if t.prev.Hold == nil {
		d.Events = append(d.Events, gates.passedChecks(flaggerv1.PreRolloutHook)...)
	}
	return t.then(d, advance)
}

// checkStep waits until the step has lasted long enough, and then checks the canary.
func checkStep(t transition) Decision {
	d := t.unchanged()
	if t.seen.RoutePending && t.seen.Plan.InPlace {
		d.State.At = t.now // the step begins once its pods have rolled
		d.wait(t.interval(), "%s; %s", progress(t), t.seen.pendingRoute())
		return d
	}
	if left := t.remaining(); left > 0 && !anyApproved(t.prev.Hold) && !hasVerdict(t) {
		d.wait(left, "%s", progress(t))
		return d
	}
	if gatesOf(t).rollbackRequested() {
		return rollBackOnRequest(t) // however long the others take to answer
	}
	metrics, measured := SampleMetrics(t.prev, t.seen.Plan, t.now), t.seen.Measured
	if t.seen.routeUnsettled() {
		metrics, measured = nil, nil // they would be about no users; webhooks may know more
	}
	due := Questions{Hooks: gatesOf(t).unanswered(flaggerv1.RolloutHook, flaggerv1.RollbackHook)}
	if len(measured) != len(metrics) {
		due.Metrics = metrics
	}
	if !due.None() {
		return t.ask(due, "%s", progress(t))
	}
	return decideCheck(t, check{names: t.seen.Names, metrics: metrics, measured: measured, webhooks: gatesOf(t)})
}

// decideCheck counts a failed check, and goes on after a good one.
func decideCheck(t transition, c check) Decision {
	result := c.result()
	d := Decision{State: withRelease(t)}
	if len(d.State.History[0].Steps) == 0 {
		d.State.History = d.State.History.enter(Step{Weight: t.prev.Weight, Iteration: t.prev.Iterations}, t.now)
	}
	d.State.History = d.State.History.measure(c.measured, result.failures)
	switch {
	case len(result.warnings) > 0:
		return t.then(d, failCheck(result.warnings...))
	case result.early:
		d.State.At = t.now
		d.wait(t.interval(), "%s; too early to measure", progress(t))
		return d
	default:
		return t.then(d, advance)
	}
}

// check is what was found out about the canary in one step.
type check struct {
	names    Names
	metrics  []Metric
	measured []Measurement // one for each metric
	webhooks gates
}

// checkResult is what a check says.
type checkResult struct {
	// failures say for each metric why it fails; empty is good.
	failures []string
	// warnings are all that speaks against the canary.
	warnings []string
	// early means that a metric has no values yet because its window is too short.
	early bool
}

// result looks at what was found out. A metric without values fails the check,
// unless its window was cut short: then it is too early to say.
func (c check) result() checkResult {
	r := checkResult{failures: make([]string, len(c.metrics))}
	if answer := c.webhooks.answers[flaggerv1.RolloutHook]; !c.webhooks.agree(flaggerv1.RolloutHook) {
		r.warnings = append(r.warnings, fmt.Sprintf("Halt %s advancement external check %s failed %s",
			c.names.canary(), answer.Webhook, answer.Why))
	}
	for i, m := range c.measured {
		if m.NoValues && c.metrics[i].Window > 0 {
			r.early = true
			continue
		}
		if r.failures[i] = c.names.failure(c.metrics[i], m); r.failures[i] != "" {
			r.warnings = append(r.warnings, r.failures[i])
		}
	}
	return r
}

// failCheck counts a failed check, and rolls back at once when it is one too many.
// The last warning becomes the reason of the failure.
func failCheck(warnings ...string) func(transition) Decision {
	return func(t transition) Decision {
		d := Decision{State: withRelease(t)}
		d.State.History = d.State.History.failCheck()
		d.State.FailedChecks++
		d.State.At = t.now
		for _, warning := range warnings {
			d.warn("%s", warning)
		}
		count, limit := d.State.FailedChecks, t.seen.Plan.Threshold
		if count >= limit {
			d.alert(flaggerv1.SeverityError, "Rolling back %s failed checks threshold reached %d", t.seen.canary(), count)
			return t.then(d, rollBack(warnings[len(warnings)-1]))
		}
		d.wait(t.interval(), "%s, %d of %d checks failed", progress(t.from(d.State)), count, limit)
		return d
	}
}

// rollBackOnRequest rolls back because a webhook says so.
func rollBackOnRequest(t transition) Decision {
	d, webhook := t.unchanged(), t.seen.Answers[flaggerv1.RollbackHook].Webhook
	d.warn("Rollback check %s passed", webhook)
	d.alert(flaggerv1.SeverityWarn, "Rolling back %s manual webhook invoked", t.seen.canary())
	return t.then(d, rollBack("rollback webhook "+webhook))
}
