// SPDX-License-Identifier: Apache-2.0

package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// restorePrimary brings a missing primary back with what it was last given. What the
// target happens to be may have failed.
func restorePrimary(t transition) Decision {
	d := t.unchanged()
	revision := t.prev.Promoted
	if promoting(t.prev.Phase) && t.seen.canRestore(t.prev.Applied) {
		revision = t.prev.Applied
	}
	switch {
	case t.seen.canRestore(revision):
		d.do(SetPrimary{revision})
		d.warn("%s is missing, restoring it", t.seen.primary())
		d.wait(t.interval(), "Restoring %s", t.seen.primary())
	case t.seen.Target.Exists:
		d.State = t.prev.enter(flaggerv1.CanaryPhaseInitializing, t.now)
		d.After = soon
		return d
	default:
		d.Problem = t.seen.missingTarget()
	}
	if trafficOf(t).primaryDown() {
		return t.then(d, fallBack)
	}
	return d
}
