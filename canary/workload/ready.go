package workload

import (
	"time"

	"github.com/sluice-cd/sluice/canary"
)

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

// half is one of the two copies.
type half string

const (
	target  half = "target"
	primary half = "primary"
)

// patience is that with a copy. The time that it has is counted from when it was
// first seen to lack something, or from the canary's last step if that was later:
// a pod that restarts late in a long stage has as much as one that starts.
func (p *Pair) patience(of half) patience {
	a := p.canary.Spec.Analysis
	threshold := a.GetCanaryReadyThreshold()
	if of == primary {
		threshold = a.GetPrimaryReadyThreshold()
	}
	since, waits := p.kit.memory.about(p.canary.UID).waits[of]
	if step := p.canary.Status.LastTransitionTime.Time; waits && step.After(since) {
		since = step
	}
	return patience{threshold: threshold, deadline: p.canary.ProgressDeadline(), since: since, now: p.kit.clock.Now()}
}

// wait notes since when a copy lacks something.
func (p *Pair) wait(of half, w canary.Workload) {
	about := p.kit.memory.about(p.canary.UID)
	if _, waits := about.waits[of]; w.Ready || !w.Exists || w.Replicas == 0 && of == target {
		delete(about.waits, of)
	} else if !waits {
		about.waits[of] = p.kit.clock.Now()
	}
}
