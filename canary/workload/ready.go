package workload

import "time"

// patience is when a workload counts as ready, and as stuck.
type patience struct {
	threshold int // percentage of pods that must be available
	deadline  time.Duration
	since     time.Time // when the canary began to wait
	now       time.Time
}

// over reports whether the canary has waited for too long. It is for kinds that
// do not say themselves since when they are not making progress.
func (p patience) over() bool { return !p.since.IsZero() && p.since.Add(p.deadline).Before(p.now) }

// needed is how many of so many pods are enough; none never is.
func (p patience) needed(pods int32) int32 { return max(int32(int(pods)*p.threshold/100), 1) }

// replicas is the number of pods asked for; one if nobody said.
func replicas(asked *int32) int32 {
	if asked == nil {
		return 1
	}
	return *asked
}
