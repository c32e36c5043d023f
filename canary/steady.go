// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// steadyState waits for a new revision.
func steadyState(t transition) Decision {
	if !t.seen.Primary.Exists {
		return restorePrimary(t)
	}
	d := recordInPlace(t)
	if t.prev.Weight > 0 || trafficOf(t.from(d.State)).primaryDown() {
		d = t.then(d, routeAllToPrimary)
	}
	switch {
	case !d.State.newRevision(t.seen.Target):
		return t.then(d, nothingToRelease)
	case d.State.Weight != t.prev.Weight:
		return beginAfterMove(d)
	default:
		return t.then(d, beginRelease)
	}
}

// beginAfterMove is the decision d to move users, alone: a release that begins may have to
// wait for what a webhook answers, and users must not.
func beginAfterMove(d Decision) Decision {
	d.wait(soon, "New revision detected, and waits to be analysed.")
	return d
}

// nothingToRelease is the decision while the target is what users have, or is missing.
func nothingToRelease(t transition) Decision {
	d := t.unchanged()
	if t.seen.Target.Exists && t.seen.Target.Revision == t.prev.Promoted {
		d.State.Applied = t.prev.Promoted
		if !t.seen.Snapshots[t.prev.Promoted] {
			d.addActions(Snapshot{t.prev.Promoted})
		}
	}
	if t.prev.Phase == flaggerv1.CanaryPhaseWaiting { // what it waited to release is gone
		d.State = endWaiting(d.State.enter(flaggerv1.CanaryPhaseInitialized, t.now), t.now)
	}
	d = t.then(d, stopUnusedTarget)
	switch {
	case !t.seen.Target.Exists:
		d.Problem = t.seen.MissingTarget()
	case d.State.Phase == flaggerv1.CanaryPhaseInitialized:
		d.Message = t.seen.Kind + " initialization completed."
	default:
		d.Message = "Canary analysis completed successfully, promotion finished."
	}
	return d
}

// recordInPlace records the revision that all pods have as the promoted one, where one
// set of pods is both copies. They may have been on their way back to another template
// when it was replaced, and then no copy of that one exists.
func recordInPlace(t transition) Decision {
	d := t.unchanged()
	if t.seen.Plan.InPlace && t.seen.Primary.Ready && t.seen.Primary.Revision != "" {
		d.State.Promoted = t.seen.Primary.Revision
	}
	return d
}

// stopUnusedTarget scales down a target that somebody scaled up although there is
// nothing to try: applying a manifest with replicas does that, again and again.
func stopUnusedTarget(t transition) Decision {
	d := t.unchanged()
	unused := t.pinned() && t.seen.Target.Replicas > 0 && !trafficOf(t).canaryMayHaveUsers()
	if unused && !t.seen.Plan.InPlace && t.seen.Primary.Serves() {
		d.addActions(StopTarget{})
	}
	return d
}

// endWaiting is the state in which no release waits to begin, because its revision is
// gone.
func endWaiting(s State, now time.Time) State {
	s.Hold = nil
	if s.History.underWay() {
		s.History = s.History.withVerdict(flaggerv1.VerdictReverted, wentBack, now)
	}
	return s
}
