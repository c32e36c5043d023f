// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"time"

	"k8s.io/utils/ptr"
)

// patience is when a workload counts as ready, and as stuck.
type patience struct {
	threshold int // percentage of pods that must be available
	deadline  time.Duration
	since     time.Time // when the canary began to wait
	now       time.Time
}

// isOver reports whether the canary has waited for too long. It is for kinds that
// do not say themselves since when they are not making progress.
func (p patience) isOver() bool { return !p.since.IsZero() && p.since.Add(p.deadline).Before(p.now) }

// needed is how many of so many pods are enough; none never is.
func (p patience) needed(pods int32) int32 { return max(int32(int(pods)*p.threshold/100), 1) }

// replicas is the number of pods asked for; one if nobody said.
func replicas(asked *int32) int32 { return ptr.Deref(asked, 1) }

// role is that of one of the two copies.
type role string

const (
	target  role = "target"
	primary role = "primary"
)

// patienceWith is that with a copy. The time that it has is counted from when it was
// first seen to lack something, or from the canary's last step if that was later:
// a pod that restarts late in a long stage has as much as one that starts.
func patienceWith(s *scope, of role) patience {
	a := s.canary.Spec.Analysis
	threshold := a.GetCanaryReadyThreshold()
	if of == primary {
		threshold = a.GetPrimaryReadyThreshold()
	}
	threshold = min(max(threshold, 0), 100)
	since, waits := s.entry.waitingSince[of]
	if step := s.canary.Status.LastTransitionTime.Time; waits && step.After(since) {
		since = step
	}
	return patience{threshold: threshold, deadline: s.canary.ProgressDeadline(), since: since, now: s.clock.Now()}
}
