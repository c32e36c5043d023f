// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// advance enters the next step, or promotes after the last, if nobody holds the
// release where it is.
func advance(t transition) Decision {
	if awaitsVerdict(t) {
		return awaitVerdict(t)
	}
	plan, next := t.seen.Plan, t.seen.Plan.position(t.prev)+1
	d := endInconclusive(t)
	t = t.from(d.State)
	for _, gate := range plan.gatesBefore(next, t.prev) {
		if heldByPerson(d.State.Hold) {
			return t.then(d, holdStep)
		}
		passed, open := passGate(t.from(d.State), gate)
		switch d = d.then(passed); {
		case open:
		case !d.due.None():
			return t.ask(d.due, "%s", progress(t.from(d.State)))
		default:
			return t.then(d, holdAtGate(gate))
		}
	}
	switch {
	case heldByPerson(d.State.Hold):
		return t.then(d, holdStep)
	case t.seen.routeUnsettled():
		return t.then(d, holdFor(t.seen.pendingRoute()))
	case next < len(plan.Steps):
		return t.then(t.then(d, explainVerdict), enterStep(plan.Steps[next]))
	default:
		return t.then(t.then(d, explainVerdict), promote)
	}
}

// holdStep remains in the step; checks go on.
func holdStep(t transition) Decision {
	d := t.unchanged()
	d.State.At = t.now
	d.wait(t.interval(), "%s", progress(t))
	return d
}

// holdAtGate remains in the step because a gate is closed.
func holdAtGate(gate flaggerv1.HookType) func(transition) Decision {
	return func(t transition) Decision {
		if gate == flaggerv1.ConfirmPromotionHook {
			t = t.from(t.prev.enter(flaggerv1.CanaryPhaseWaitingPromotion, t.now))
		}
		return holdStep(t)
	}
}

// holdFor stays in the step because somebody else has to act first, until the
// deadline: a release that nobody can move on is given up.
func holdFor(why string) func(transition) Decision {
	return func(t transition) Decision {
		d := Decision{State: withRelease(t)}
		if overdue(t.from(d.State)) || t.seen.Primary.Stuck {
			d.alert(flaggerv1.SeverityError, "Rolling back %s progress deadline exceeded %s", t.seen.canary(), why)
			return t.then(d, rollBack("progress deadline exceeded: "+why))
		}
		d.warn("Halt %s advancement %s", t.seen.canary(), why)
		d.State.At = t.now
		d.wait(t.interval(), "%s; holding, %s", progress(t), why)
		return d
	}
}

// overdue reports whether the check that ends the step is due, and the release has been
// held for longer than the deadline. Whatever else the step was long for, such as a gate
// that was closed for days, does not count.
func overdue(t transition) bool {
	release := t.prev.History.current()
	due := release.StartedAt.Time
	if n := len(release.Steps); n > 0 {
		due = release.Steps[n-1].At.Time
	}
	since := due.Add(t.seen.Plan.Interval)
	if held := release.HeldSince.Time; held.After(since) {
		since = held
	}
	return t.now.Sub(since) > cmp.Or(t.seen.Plan.Deadline, flaggerv1.DefaultProgressDeadline)
}

// noteHeld notes since when a release under way cannot go on because of its route or of
// its primary.
func noteHeld(t transition) State {
	s := t.prev
	held := t.seen.routeUnsettled() || t.seen.primaryUnfit() && s.Fallback == nil
	if release := s.History.current(); held != release.HeldSince.IsZero() {
		return s
	}
	s = withRelease(t)
	s.History = s.History.edit(func(r *flaggerv1.CanaryRelease) {
		r.HeldSince = metav1.Time{}
		if held {
			r.HeldSince = metav1.NewTime(t.now)
		}
	})
	return s
}

// enterStep enters a step of the plan. While the primary is unfit no user leaves it
// for the canary, because there would be no way back. Users who left a primary that
// serves nobody stay on the canary.
func enterStep(step Step) func(transition) Decision {
	return func(t transition) Decision {
		if t.seen.primaryUnfit() && t.prev.Fallback == nil && step.Weight > 0 {
			return holdFor(t.seen.primaryNotReady())(t)
		}
		d := t.unchanged()
		d.State.At = t.now
		if step.Iteration > 0 {
			d.State.Iterations = step.Iteration
		}
		if h := t.prev.Hold; h != nil && h.Gate == flaggerv1.ConfirmTrafficIncreaseHook {
			d.State.Hold = nil
		}
		if t.prev.Phase == flaggerv1.CanaryPhaseWaitingPromotion {
			d.State.Phase = flaggerv1.CanaryPhaseProgressing
		}
		d = t.then(d, setStepWeight(step))
		d.State = withRelease(t.from(d.State))
		d.State.History = d.State.History.enter(step, t.now)
		d.addEvent("%s", stepMessage(step, t.seen))
		d.wait(t.interval(), "%s", progress(t.from(d.State)))
		return d
	}
}

// promote decides that the primary gets what was measured: the pinned revision, not
// whatever the target has become. It gets that once the phase is recorded: cut off between
// the ConfigMaps of a revision and its template, only a promotion goes on with it or takes
// it back.
func promote(t transition) Decision {
	d := t.unchanged()
	d.addEvent("Copying %s template spec to %s%s", t.seen.target(), t.seen.primary(), formatMeasurements(t.seen.Measured))
	d.State.Hold = nil
	d.State = d.State.enter(flaggerv1.CanaryPhasePromoting, t.now)
	d.wait(soon, "Canary analysis completed, starting primary rolling update.")
	return d
}
