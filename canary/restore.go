// SPDX-License-Identifier: Apache-2.0

package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// restorePrimary brings a missing primary back with what it was last given. What the
// target happens to be may have failed. Users leave first: a quota or a webhook may keep
// the primary from being made.
func restorePrimary(t transition) Decision {
	if trafficOf(t).primaryDown() {
		d := fallBack(t)
		d.wait(soon, "Restoring %s", t.seen.primary())
		return d
	}
	d := t.unchanged()
	revision := t.prev.Promoted
	if promoting(t.prev.Phase) && t.seen.canRestore(t.prev.Applied) {
		revision = t.prev.Applied
	}
	switch {
	case t.seen.canRestore(revision):
		d.addActions(SetPrimary{revision})
		d.warn("%s is missing, restoring it", t.seen.primary())
		d.wait(t.interval(), "Restoring %s", t.seen.primary())
	case t.seen.Target.Exists:
		d.State = t.prev.enter(flaggerv1.CanaryPhaseInitializing, t.now)
		d.After = soon
		return d
	default:
		d.Problem = t.seen.MissingTarget()
	}
	return d
}
