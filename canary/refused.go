// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// LeaveUnjudged decides where users are while the spec of a release under way is refused.
// There is no plan then by which anybody could judge the canary, so users leave it as soon
// as the primary can answer them. The release has neither failed nor succeeded: it begins
// again with its first step once the spec is valid.
//
// Of the observation only the names and the two copies are read, and of its plan whether
// the copies are pods of one workload. The message says what users still wait for.
func LeaveUnjudged(prev State, seen Observation, now time.Time) Decision {
	t := transition{prev: prev, seen: seen, now: now}
	d, primary := t.unchanged(), seen.Primary
	switch {
	case prev.Phase == flaggerv1.CanaryPhasePromoting && (seen.Plan.InPlace || !primary.Ready):
		// The primary gets what was judged, and until it has it users are where it is.
		d.wait(t.interval(), "the primary is still being promoted")
		return d
	case !primary.Serves() && !primary.Idle && !seen.Plan.InPlace:
		d.wait(t.interval(), "users stay on a canary that nobody judges, %s", seen.primaryServesNobody())
		return d
	}
	d.addActions(TakeOff{})
	if prev.Weight > 0 {
		d.State.Weight, d.State.Fallback, d.State.Iterations, d.State.At = 0, nil, 0, now
		d.alert(flaggerv1.SeverityError, "Routing all traffic to primary, nobody can judge %s while its spec is refused", seen.canary())
	}
	return d
}
