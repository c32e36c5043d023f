// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// analyse goes through the steps of the plan. What comes first matters: whatever ends
// the analysis is looked at before whatever moves it on.
func analyse(t transition) Decision {
	target, primary := t.seen.Target, t.seen.Primary
	switch {
	case !primary.Exists && !rollbackBegun(t): // a restored primary is recorded, and then nothing tells of a rollback
		return restorePrimary(t)
	case t.prev.promotionBegun(primary):
		resumed := t.prev.enter(flaggerv1.CanaryPhasePromoting, t.now)
		resumed.Hold = nil
		return rollOutPrimary(t.from(resumed))
	case !target.Exists:
		d := routeAllToPrimary(t)
		d.Problem = t.seen.MissingTarget()
		return d
	case target.Revision == t.prev.Promoted:
		return revert(t)
	case !t.pinned():
		return restart(t)
	case strategyChanged(t):
		d := t.unchanged()
		d.addEvent("Strategy edited! Restarting analysis for %s", t.seen.target())
		return t.then(t.then(d, routeAllToPrimary), startAnalysis)
	case rollbackBegun(t):
		d, why := t.unchanged(), "the controller was stopped while it rolled back"
		d.alert(flaggerv1.SeverityError, "Rolling back %s %s", t.seen.canary(), why)
		return t.then(d, rollBack(why))
	case target.Stuck:
		d, why := t.unchanged(), t.seen.targetNotReady()
		d.alert(flaggerv1.SeverityError, "Rolling back %s progress deadline exceeded %s", t.seen.canary(), why)
		return t.then(d, rollBack("progress deadline exceeded: "+why))
	case alarmed(t):
		d := t.unchanged()
		d.alert(flaggerv1.SeverityError, "Rolling back %s at once, %s", t.seen.canary(), t.seen.Alarm)
		return t.then(d, rollBack(t.seen.Alarm))
	case isFailedByJudge(t):
		d := t.unchanged()
		d.alert(flaggerv1.SeverityError, "Rolling back %s at once, %s", t.seen.canary(), t.seen.JudgeResult.Text)
		return t.then(d, rollBack(t.seen.JudgeResult.Text))
	default:
		return continueAnalysis(t.from(noteHeld(t)))
	}
}

// continueAnalysis goes on with a canary that nothing speaks against so far.
func continueAnalysis(t transition) Decision {
	switch users := trafficOf(t); {
	case users.primaryDown() && !gatesOf(t).rollbackRequested():
		d := fallBack(t)
		d.wait(soon, "%s", progress(t.from(d.State)))
		return d
	case users.weight > 0 && !users.canary.Serves() && !users.inPlace:
		return leaveDeadCanary(t)
	case users.weight > 0 && users.canary.Shared && !users.inPlace:
		return leaveSharedCanary(t)
	case users.primaryRecovered():
		return endFallback(t)
	case !users.canary.Ready:
		return awaitCanary(t)
	case promotesUnmeasured(t):
		return promote(t)
	case paused(t.prev.Hold):
		d := t.unchanged()
		d.wait(t.interval(), "%s", progress(t))
		return d
	case !t.prev.Started():
		return checkBeforeFirstStep(t)
	default:
		return checkStep(t)
	}
}

// promotesUnmeasured reports whether the canary only has to be ready: its owner or a person
// wants no analysis, and nobody holds it since.
func promotesUnmeasured(t transition) bool {
	return !heldByPerson(t.prev.Hold) && (t.seen.Plan.Skip || promotionWasCommanded(t.prev))
}

// rollbackBegun recognises a rollback whose status was lost in a crash, and with it what the
// judge or samples had found: users have left a canary that was scaled to zero, and none of
// that is recorded. It would get users once more. A route that has not been taken up yet
// may be the one by which they left, or, if all that was done is recorded, the one by which
// users came to a canary that somebody else, or its autoscaler, has scaled to zero.
func rollbackBegun(t transition) bool {
	users := trafficOf(t)
	switch {
	case !t.seen.Unrecorded, !users.routed, users.inPlace, users.weight == 0, promotionWasCommanded(t.prev):
		return false
	case !users.pinned, users.canary.Replicas > 0:
		return false
	}
	return users.pending || users.routes.Canary == 0
}

// alarmed reports whether samples end the release. It does not matter whether all
// pods are ready: errors often come with pods that are not.
func alarmed(t transition) bool {
	return t.seen.Alarm != "" && t.prev.Started() && !paused(t.prev.Hold) && !promotionWasCommanded(t.prev)
}

// strategyChanged reports whether the users of an A/B or blue/green release are on a
// canary whose strategy was edited meanwhile. Its weight was for matching users, or
// came after checks that the new strategy would not count: under the new one it would
// be for everybody. A router that finds a route of another strategy reads no weight.
func strategyChanged(t transition) bool {
	s, steps := t.prev, t.prev.History.current().Steps
	sameRoute := t.seen.Weights.Canary > 0 || t.seen.RoutePending
	if s.Weight == 0 || s.Fallback != nil || sameRoute || len(steps) == 0 {
		return false
	}
	if last := steps[len(steps)-1]; last.Iteration == 0 || last.Weight == 0 {
		return false
	}
	plan, at := t.seen.Plan, t.seen.Plan.position(s)
	return plan.progressive() || at >= 0 && plan.Steps[at].Weight < s.Weight
}

// revert ends an analysis because Git went back to what users have.
func revert(t transition) Decision {
	d := routeAllToPrimary(t)
	if !trafficOf(t).primaryTakesAll() {
		d.wait(t.interval(), "Revision reverted, %s", t.seen.primaryNotReady())
		return d
	}
	if !t.seen.Plan.InPlace { // its pods may have to go back to what is the target now
		d.addActions(StopTarget{})
	}
	d.State = d.State.enter(flaggerv1.CanaryPhaseInitialized, t.now)
	d.State.Applied = t.prev.Promoted
	d.State.FailedChecks, d.State.Iterations = 0, 0
	d.State.Hold = nil
	d.State = withRelease(t.from(d.State))
	d.State.History = d.State.History.withVerdict(flaggerv1.VerdictReverted, wentBack, t.now)
	d.Result = ResultReverted
	d.addEvent("Revision reverted! Ending analysis of %s without promotion", t.seen.target())
	d.Message = "Revision reverted to the promoted one, analysis ended without promotion."
	return d
}

// restart begins again with another revision. The canary's pods are being
// replaced by ones that nobody looked at, so users leave them at once.
func restart(t transition) Decision {
	d := routeAllToPrimary(t)
	d.addEvent("New revision detected! Restarting analysis for %s", t.seen.target())
	return t.then(d, startAnalysis)
}

// leaveDeadCanary takes users off a canary that has no pods left, which is a failed
// check. If it recovers, it starts from the first step.
func leaveDeadCanary(t transition) Decision {
	d := routeAllToPrimary(t)
	d.State.Iterations = 0
	return t.then(d, failCheck("Halt "+t.seen.canary()+" advancement canary has no available pods"))
}

// leaveSharedCanary takes users off a canary whose Service leads to pods of somebody else,
// too, for which the revision is not to blame. Once they are gone, it starts from the first
// step.
func leaveSharedCanary(t transition) Decision {
	d := routeAllToPrimary(t)
	if d.State.Weight == 0 {
		d.State.Iterations, d.State.At = 0, t.now
		d.warn("Halt %s advancement %s", t.seen.canary(), t.seen.Target.Why)
	}
	d.wait(t.interval(), "%s", t.seen.targetNotReady())
	return d
}

// awaitCanary waits for the canary's pods, and asks for them again if somebody else
// scaled them away.
func awaitCanary(t transition) Decision {
	d := t.unchanged()
	if t.seen.Target.Replicas == 0 {
		d.addActions(StartTarget{})
	}
	d.wait(t.interval(), "%s", t.seen.targetNotReady())
	return d
}

// progress says how far the analysis is.
func progress(t transition) string {
	steps := t.seen.Plan
	text := fmt.Sprintf("Canary analysis at weight %d, step %d of %d%s",
		t.prev.stepWeight(), steps.position(t.prev)+1, len(steps.Steps), holdMessage(t.prev.Hold, t.seen.Canary))
	text += overtime(t)
	if t.prev.Fallback != nil && !t.seen.Primary.Ready {
		text += "; all traffic is on the canary, " + t.seen.primaryServesNobody()
	}
	return text
}
