package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// start asks what is to be asked before the first stage. After a failed check, and
// at a closed gate, it asks again once an interval.
func (t *turn) start() {
	waiting := t.State.FailedChecks > 0 || t.State.Hold != nil || t.unaccepted()
	if left := t.left(); waiting && left > 0 && !t.waved() {
		t.message("%s", t.progress())
		t.step.After = left
		return
	}
	if t.wanted() {
		t.rollbackWanted()
		return
	}
	due := []flaggerv1.HookType{flaggerv1.RollbackHook}
	if !t.held() {
		due = append(due, flaggerv1.PreRolloutHook)
	}
	if !t.answered(due...) {
		t.message("%s", t.progress())
		t.step.After = soon
		return
	}
	if t.held() {
		t.stay("")
		return
	}
	if !waiting {
		t.say("Starting canary analysis for %s.%s", t.Names.Target, t.Namespace)
	}
	if answer := t.Answers[flaggerv1.PreRolloutHook]; !t.agrees(flaggerv1.PreRolloutHook) {
		t.warn("Halt %s.%s advancement pre-rollout check %s failed %s", t.Canary, t.Namespace, answer.Webhook, answer.Why)
		t.fail()
		return
	}
	if t.State.Hold == nil {
		t.passed(flaggerv1.PreRolloutHook)
	}
	t.advance()
}

// check waits until the stage has lasted long enough, and then judges it.
func (t *turn) check() {
	if t.RoutePending && t.Plan.InPlace {
		t.State.At = t.now // the stage begins once its pods have rolled
		t.wait("%s; %s", t.progress(), t.awaited())
		return
	}
	if left := t.left(); left > 0 && !t.waved() {
		t.message("%s", t.progress())
		t.step.After = left
		return
	}
	if t.wanted() {
		t.rollbackWanted() // however long the others take to answer
		return
	}
	metrics := windowed(t.Observation, t.now)
	if t.unaccepted() {
		metrics, t.Measured = nil, nil // they would be those of nobody; webhooks may know more
	}
	if known := t.answered(flaggerv1.RolloutHook, flaggerv1.RollbackHook); !known || len(t.Measured) != len(metrics) {
		if len(t.Measured) != len(metrics) {
			t.step.due.Metrics = metrics
		}
		t.message("%s", t.progress())
		t.step.After = soon
		return
	}
	t.judge(metrics)
}

// judge looks at what was found out. A metric without values fails the check,
// unless its window was cut short: then it is too early to say.
func (t *turn) judge(metrics []Metric) {
	good, early := true, false
	if answer := t.Answers[flaggerv1.RolloutHook]; !t.agrees(flaggerv1.RolloutHook) {
		t.warn("Halt %s.%s advancement external check %s failed %s", t.Canary, t.Namespace, answer.Webhook, answer.Why)
		good = false
	}
	failures := make([]string, len(metrics))
	for i, m := range t.Measured {
		if m.NoValues && metrics[i].Window > 0 {
			early = true
			continue
		}
		if failures[i] = t.failure(metrics[i], m); failures[i] != "" {
			t.warn("%s", failures[i])
			good = false
		}
	}
	t.checked(failures)
	switch {
	case !good:
		t.fail()
	case early:
		t.State.At = t.now
		t.wait("%s; too early to measure", t.progress())
	default:
		t.advance()
	}
}

// waved reports whether a person has opened the gate that the release waits at,
// so that it need not wait for its next check.
func (t *turn) waved() bool { return t.State.Hold != nil && t.State.Hold.Approved }

// rollbackWanted rolls back because a webhook says so.
func (t *turn) rollbackWanted() {
	t.warn("Rollback check %s passed", t.Answers[flaggerv1.RollbackHook].Webhook)
	t.warn("Rolling back %s.%s manual webhook invoked", t.Canary, t.Namespace)
	t.alert(flaggerv1.SeverityWarn)
	t.rollback("rollback webhook " + t.Answers[flaggerv1.RollbackHook].Webhook)
}

// fail counts a failed check, and rolls back at once when it is one too many.
func (t *turn) fail() {
	t.State.FailedChecks++
	t.failedCheck()
	t.State.At = t.now
	if t.State.FailedChecks >= t.Plan.Threshold {
		reason := t.step.Events[len(t.step.Events)-1].Message
		t.warn("Rolling back %s.%s failed checks threshold reached %d", t.Canary, t.Namespace, t.State.FailedChecks)
		t.alert(flaggerv1.SeverityError)
		t.rollback(reason)
		return
	}
	t.wait("%s, %d of %d checks failed", t.progress(), t.State.FailedChecks, t.Plan.Threshold)
}
