// SPDX-License-Identifier: Apache-2.0

package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// retarget begins anew if the canary has got another target since. Nothing that was
// measured or promoted for one target may be given to the users of another. The last
// command and the history stay.
func retarget(t transition) Decision {
	d, was := t.unchanged(), t.prev.Target
	d.State.Target = t.seen.Identity
	if was == t.seen.Identity || was == "" {
		return d
	}
	history := t.prev.History
	if history.underWay() {
		history = history.withVerdict(flaggerv1.VerdictSuperseded, "another target", t.now)
	}
	d.State = State{Target: t.seen.Identity, LastCommand: t.prev.LastCommand, History: history}
	d.addEvent("Target %s is another than %s! Initializing %s", t.seen.Identity, was, t.seen.canary())
	return d
}
