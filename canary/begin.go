// SPDX-License-Identifier: Apache-2.0

package canary

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// beginRelease starts an analysis once nobody objects, it can be measured, and the
// primary is fit to fall back on. The new revision is recorded only then, so that none
// gets lost. A primary that serves nobody has nothing to lose: the revision may be its
// fix. If users are on the canary, it is analysed where they are.
func beginRelease(t transition) Decision {
	skip, routeRefused := t.seen.Plan.Skip, t.seen.Plan.Routed && t.seen.RouteRefused
	d := t.unchanged()
	switch {
	case t.seen.primaryUnfit() && t.prev.Fallback == nil && !skip:
		d.wait(t.interval(), "New revision detected, %s", t.seen.primaryNotReady())
		return d
	case t.seen.Unmeasurable != "" && !skip, routeRefused:
		d.wait(t.interval(), "New revision detected, and waits to be analysed.")
		return d
	}
	d, open := passFirstGate(t)
	if !open {
		return d
	}
	if t.seen.Primary.Ready {
		d = t.then(d, routeAllToPrimary)
	}
	d.alert(flaggerv1.SeverityInfo, "New revision detected! Scaling up %s", t.seen.target())
	for _, note := range t.seen.Plan.Notes {
		d.warn("%s", note)
	}
	return t.then(d, startAnalysis)
}

// passFirstGate reports whether the release may begin. Otherwise it waits, and may be
// given up before it has begun.
func passFirstGate(t transition) (Decision, bool) {
	t = t.from(withNewRelease(t))
	if t.prev.Hold != nil && !approved(t.prev.Hold, flaggerv1.ConfirmRolloutHook) {
		if d, waits := waitAtFirstGate(t); waits {
			return d, false
		}
	}
	d, open := passGate(t, flaggerv1.ConfirmRolloutHook)
	switch {
	case open:
		return d, true
	case !d.due.None():
		return t.ask(d.due, "New revision detected%s", holdMessage(d.State.Hold, t.seen.Canary)), false
	}
	if t.prev.Phase != flaggerv1.CanaryPhaseFailed || t.prev.Weight == 0 {
		d.State.Phase = flaggerv1.CanaryPhaseWaiting
	}
	d.State.At = t.now
	d.wait(t.interval(), "Waiting for approval%s", holdMessage(d.State.Hold, t.seen.Canary))
	return d, false
}

// waitAtFirstGate reports whether a release that was held before goes on waiting
// without its gate being asked again. The gate is asked once an interval, and after
// the rollback webhooks. A halt keeps the gate from being asked, but not those webhooks.
func waitAtFirstGate(t transition) (Decision, bool) {
	d := t.unchanged()
	d.Message = "Waiting for approval" + holdMessage(t.prev.Hold, t.seen.Canary)
	gates, halted := gatesOf(t), heldByPerson(t.prev.Hold)
	// While users are on a canary that failed, there is nothing to roll back.
	canRollBack := t.prev.Phase == flaggerv1.CanaryPhaseWaiting
	switch left := t.remaining(); {
	case paused(t.prev.Hold), halted && (!canRollBack || !gates.hooks[flaggerv1.RollbackHook]):
		return d, true
	case left > 0:
		d.After = left
		return d, true
	case !canRollBack:
		return d, false
	case len(gates.unanswered(flaggerv1.RollbackHook)) > 0:
		return t.ask(Questions{Hooks: []flaggerv1.HookType{flaggerv1.RollbackHook}}, "%s", d.Message), true
	case gates.rollbackRequested():
		d.State.Applied = t.seen.Target.Revision
		return t.then(d, rollBackOnRequest), true
	case halted:
		d.State.At = t.now
		d.After = t.seen.Plan.Interval
		return d, true
	default:
		return d, false
	}
}

// startAnalysis makes the target's revision the one under analysis.
func startAnalysis(t transition) Decision {
	d := Decision{State: withNewRelease(t).enter(flaggerv1.CanaryPhaseProgressing, t.now)}
	d.State.History = d.State.History.edit(func(r *flaggerv1.CanaryRelease) { r.StartedAt = metav1.NewTime(t.now) })
	d.State.Hold = nil // it was for another revision
	d.State.Applied = t.seen.Target.Revision
	d.State = d.State.beforeFirstStep()
	d.addActions(Snapshot{t.seen.Target.Revision}, StartTarget{})
	d.wait(t.interval(), "New revision detected, progressing canary analysis.")
	return d
}
