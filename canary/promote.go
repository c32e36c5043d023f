// SPDX-License-Identifier: Apache-2.0

package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// routingToPrimary is the message while users move back to the promoted primary.
const routingToPrimary = "Canary analysis completed, routing all traffic to primary."

// rollOutPrimary waits for the primary to become ready with the pinned revision while
// users stay where they are, then moves them over.
func rollOutPrimary(t transition) Decision {
	if !t.seen.Primary.Exists {
		return restorePrimary(t)
	}
	d := t.unchanged()
	if t.prev.Weight > 0 && !trafficOf(t).canaryTrusted() {
		d = routeAllToPrimary(t) // nobody measured what the canary is now
	}
	if trafficOf(t.from(d.State)).primaryDown() {
		d = t.then(d, fallBack)
	}
	target, primary := t.seen.Target, t.seen.Primary
	switch {
	case target.Exists && target.Revision == t.prev.Promoted:
		d.addActions(SetPrimary{t.prev.Promoted})
		return t.then(d, revert)
	case primary.Revision != t.prev.Applied:
		return t.then(d, promoteAgain)
	case primary.Stuck:
		return t.then(d, abortPromotion)
	case !primary.Ready, d.State.Fallback != nil && !primary.Serves():
		d.wait(t.interval(), "Canary analysis completed, %s", t.seen.primaryNotReady())
		return d
	default:
		d.addActions(keepPrimary(t.seen)...)
		return t.then(d, shiftTraffic)
	}
}

// keepPrimary is the action by which the primary has all of the revision that its template
// has. An attempt to give it another one may have been cut off, or refused, between its
// ConfigMaps and its template.
func keepPrimary(seen Observation) []Action {
	if revision := seen.Primary.Revision; seen.Snapshots[revision] {
		return []Action{SetPrimary{revision}}
	}
	return nil
}

// promoteAgain hands the primary the pinned revision, which it does not have.
func promoteAgain(t transition) Decision {
	d := t.unchanged()
	switch {
	case t.seen.canRestore(t.prev.Applied):
		d.addActions(SetPrimary{t.prev.Applied})
		d.wait(t.interval(), "Canary analysis completed, starting primary rolling update.")
		return d
	case t.seen.Target.Exists:
		return restart(t) // the pinned revision is lost
	default:
		d.Problem = t.seen.MissingTarget()
		return d
	}
}

// shiftTraffic moves users to the promoted primary, at once or step by step.
func shiftTraffic(t transition) Decision {
	if size := t.seen.Plan.PromotionStep; size > 0 && size < t.prev.Weight {
		return shiftOneStep(t)
	}
	d := t.unchanged()
	if t.seen.Plan.Routed {
		d.addEvent("Routing all traffic to primary")
	}
	d = t.then(d, setWeights(provider.ToPrimary))
	d.State = d.State.enter(flaggerv1.CanaryPhaseFinalising, t.now)
	d.wait(soon, routingToPrimary)
	if drains(t.seen.Plan) {
		d.After = t.seen.Plan.Interval
	}
	return d
}

// shiftOneStep moves some users to the promoted primary, once an interval.
func shiftOneStep(t transition) Decision {
	d := t.unchanged()
	if left := t.remaining(); left > 0 {
		d.wait(left, routingToPrimary)
		return d
	}
	weight := t.prev.Weight - t.seen.Plan.PromotionStep
	d = setWeights(provider.Split(weight))(t)
	d.State.At = t.now
	d.addEvent("Advance %s primary weight %d", t.seen.canary(), 100-weight)
	d.wait(t.seen.Plan.Interval, routingToPrimary)
	return d
}

// drains reports whether users may still be on their way to the canary.
func drains(p Plan) bool { return p.Routed && !p.Skip }

// finalise scales the canary down once its users have left. If the primary
// breaks just now, they go back.
func finalise(t transition) Decision {
	if !t.seen.Primary.Exists {
		return restorePrimary(t)
	}
	d, users := t.unchanged(), trafficOf(t)
	if !users.inPlace && users.routed && !users.primary.Serves() && users.pinned && users.canary.Ready {
		d = fallBack(t)
		d.State = d.State.enter(flaggerv1.CanaryPhasePromoting, t.now)
		d.wait(t.interval(), "Canary analysis completed, %s", t.seen.primaryNotReady())
		return d
	}
	if left := t.remaining(); left > 0 && drains(t.seen.Plan) {
		d.wait(left, routingToPrimary)
		return d
	}
	d = routeAllToPrimary(t)
	if !users.primaryTakesAll() || !users.primary.Serves() {
		d.wait(t.interval(), "Canary analysis completed, %s", t.seen.primaryNotReady())
		return d
	}
	return t.then(d, succeed)
}

// succeed ends a release that was promoted.
func succeed(t transition) Decision {
	d := Decision{State: t.prev.enter(flaggerv1.CanaryPhaseSucceeded, t.now)}
	if t.pinned() {
		d.addActions(StopTarget{})
	} else {
		d.After = soon // there is another revision already
	}
	d.State.Promoted = t.prev.Applied
	d.State.Iterations = 0
	d.addActions(notifyEnd(t.seen.Plan)...)
	d.Message = "Canary analysis completed successfully, promotion finished."
	d.State = withRelease(t.from(d.State))
	if t.seen.Plan.Skip {
		d.Result = ResultSkipped
		d.State.History = d.State.History.withVerdict(flaggerv1.VerdictSkipped, "the analysis was skipped", t.now)
		d.alert(flaggerv1.SeverityInfo, "Promotion completed! Canary analysis was skipped for %s", t.seen.target())
		return d
	}
	d.Result = ResultPromoted
	d.State.History = d.State.History.withVerdict(flaggerv1.VerdictPromoted, "all checks passed", t.now)
	d.alert(flaggerv1.SeverityInfo, "Promotion completed! Scaling down %s", t.seen.target())
	return d
}
