// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// failed brings users back to the last healthy primary, and waits for a new
// revision. A failed revision stays failed, and has users only while nothing else answers
// them: its pods may still be there, or again. If Git goes back to the promoted one, that
// is recorded, so that the failed one can be tried again later.
func failed(t transition) Decision {
	if !t.seen.Primary.Exists {
		return restorePrimary(t)
	}
	d := recordInPlace(t)
	if users := trafficOf(t); users.primaryDown() || users.canaryMayHaveUsers() && !users.canary.Serves() {
		d = t.then(d, routeAllToPrimary)
	}
	if moved := d.State.Weight != t.prev.Weight; moved && d.State.newRevision(t.seen.Target) {
		return beginAfterMove(d)
	}
	d.Message = failedMessage(t.from(d.State))
	switch t = t.from(d.State); {
	case t.prev.promotionBegun(t.seen.Primary) && t.seen.canRestore(t.prev.Promoted):
		d.addActions(SetPrimary{t.prev.Promoted})
		d.wait(t.interval(), "Promotion failed, restoring %s", t.seen.primary())
		return d
	case t.newRevision():
		return t.then(d, beginRelease)
	}
	d.State = endWaiting(d.State, t.now)
	if d.State.Weight > 0 {
		return t.then(d, recoverPrimary)
	}
	if t.seen.Target.Exists && t.seen.Target.Revision == d.State.Promoted {
		d.State.Applied = d.State.Promoted
		d.Message = "Revision reverted to the promoted one, which all users have."
		if why := t.prev.History.lastFailure(); why != "" {
			d.Message += " What was tried before failed: " + why
		}
	}
	return t.then(d, stopUnusedTarget)
}

// recoverPrimary ends the time in which users were on the canary because the primary
// did not start.
func recoverPrimary(t transition) Decision {
	d := t.unchanged()
	if !trafficOf(t).primaryRecovered() && t.seen.Target.Serves() {
		d.After = t.interval()
		return d
	}
	if t.prev.promotionBegun(t.seen.Primary) {
		d.State.Promoted = t.prev.Applied // it started after all, and users have it
	}
	d = t.then(d, setWeights(provider.ToPrimary))
	d.addActions(StopTarget{})
	d.State.At = t.now
	d.warn("Canary failed! Scaling down %s", t.seen.canary())
	d.Message = failedMessage(t.from(d.State))
	return d
}

// rollBack gives up the revision under analysis. Users leave it now, not at the
// next check.
func rollBack(reason string) func(transition) Decision {
	return func(t transition) Decision {
		d := routeAllToPrimary(t)
		if trafficOf(t).primaryTakesAll() {
			d.addActions(StopTarget{})
		} else {
			d.After = soon
		}
		d.warn("Canary failed! Scaling down %s", t.seen.canary())
		return t.then(d, markFailed(reason))
	}
}

// abortPromotion gives up a promotion because the primary does not start. As long as
// the canary is healthy it serves, while the primary gets its old revision back.
func abortPromotion(t transition) Decision {
	d, why := t.unchanged(), t.seen.Primary.Why
	d.alert(flaggerv1.SeverityError, "Promotion of %s failed, primary not ready: %s", t.seen.target(), why)
	switch users := trafficOf(t); {
	case users.routed && users.pinned && users.canary.Ready && !users.inPlace:
		d = t.then(d, routeAllToCanary)
	case users.primaryTakesAll():
		d = t.then(d, routeAllToPrimary)
		d.addActions(StopTarget{})
	default:
		d = t.then(d, routeAllToPrimary)
	}
	if t.seen.canRestore(t.prev.Promoted) {
		d.addActions(SetPrimary{t.prev.Promoted})
	}
	d = t.then(d, markFailed("promotion failed, primary not ready: "+why))
	d.After = soon
	return d
}

// markFailed ends the release, and tells webhooks.
func markFailed(reason string) func(transition) Decision {
	return func(t transition) Decision {
		d := Decision{State: withRelease(t).enter(flaggerv1.CanaryPhaseFailed, t.now), Result: ResultFailed}
		d.State.History = d.State.History.withVerdict(flaggerv1.VerdictFailed, reason, t.now)
		d.State = d.State.beforeFirstStep()
		d.State.Hold = nil
		d.addActions(notifyEnd(t.seen.Plan)...)
		d.Message = failedMessage(t.from(d.State))
		return d
	}
}

// notifyEnd tells webhooks that the release has ended.
func notifyEnd(p Plan) []Action {
	if !p.Hooks[flaggerv1.PostRolloutHook] {
		return nil
	}
	return []Action{Notify{flaggerv1.PostRolloutHook}}
}

// failedMessage says where users are after a failure, and why the revision failed.
func failedMessage(t transition) string {
	message := fmt.Sprintf("Canary analysis failed, %s scaled to zero.", t.seen.Kind)
	if t.prev.Weight > 0 || !trafficOf(t).primaryTakesAll() {
		message = fmt.Sprintf("Canary failed, traffic stays on it: %s", t.seen.primaryNotReady())
	}
	if why := t.prev.History.lastFailure(); why != "" {
		message = fmt.Sprintf("%s. Reason: %s", strings.TrimSuffix(message, "."), why)
	}
	return message
}
