// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"math"
	"time"
)

// overshoot is how far the logarithm of an e-value is above its mean growth when it
// decides, plus what betting on a grid instead of on the true risk costs
// (about ln 24 less what neighbours on the grid share): found by simulation.
const overshoot = 2

// gain returns how much the logarithm of the e-value against the risk hypothesis grows with each
// event on average, if the true risk is ratio: the divergence between two
// probabilities that an event is one of the canary's (Kullback and Leibler 1951).
func gain(ratio, hypothesis, share float64) float64 {
	truth, other := conditional(ratio, share), conditional(hypothesis, share)
	sum := 0.0
	if truth > 0 {
		sum += truth * math.Log(truth/other)
	}
	if truth < 1 {
		sum += (1 - truth) * math.Log((1-truth)/(1-other))
	}
	return sum
}

// conditional returns the probability that an event which happened is one of the
// canary's.
func conditional(ratio, share float64) float64 { return ratio * share / (ratio*share + 1 - share) }

// needs estimates how many more events a verdict takes, if things go on as they
// did: with what speaks for Fail if the canary looks worse than is tolerated, and for Pass
// if it does not.
func (s Settings) needs(e Evidence, alpha float64) float64 {
	ratio := e.Ratio()
	total := e.canary.Exposure + e.primary.Exposure
	if math.IsNaN(ratio) || total == 0 {
		return math.Inf(1)
	}
	share := min(max(e.canary.Exposure/total, 1e-6), 1-1e-6)
	ratio = min(max(ratio, s.Regression/improvement), s.Tolerated*largest)
	hypothesis, missing := s.Regression, math.Log(1/s.Beta)+overshoot-e.LogPass()
	if ratio > math.Sqrt(s.Tolerated*s.Regression) { // nearer to a regression than to none
		hypothesis, missing = s.Tolerated, math.Log(1/alpha)+overshoot-e.LogFail()
	}
	each := gain(ratio, hypothesis, share)
	if e.information > 0 { // what one event was worth so far
		each *= e.information / (e.canary.Events + e.primary.Events)
	}
	return math.Max(1, missing/each)
}

// Step is one step of a plan: for how long the canary has which part of the users.
type Step struct {
	Share float64
	Lasts time.Duration
}

// Traffic is what a service is used to: requests per second, the part of them that are
// events such as errors, and the dispersion of these.
type Traffic struct {
	Requests, Rate, Dispersion float64
}

// Expect returns how long it takes, on average, until a canary that is ratio times
// as bad as its primary fails or, if ratio is no regression, until it passes. The last
// step goes on for as long as it takes. ok is false if that is never, or longer
// than a thousand days.
func (s Settings) Expect(t Traffic, steps []Step, ratio float64, metrics int) (lasts time.Duration, ok bool) {
	hypothesis, missing := s.Tolerated, math.Log(float64(max(metrics, 1))/s.Alpha)+overshoot
	if ratio <= s.Tolerated {
		hypothesis, missing = s.Regression, math.Log(1/s.Beta)+overshoot
	}
	for i, step := range steps {
		perSecond := t.Requests * t.Rate * (step.Share*ratio + 1 - step.Share) *
			gain(ratio, hypothesis, step.Share) / max(t.Dispersion, 1)
		gained := perSecond * step.Lasts.Seconds()
		if gained < missing && i < len(steps)-1 {
			missing, lasts = missing-gained, lasts+step.Lasts
			continue
		}
		seconds := missing / perSecond
		if !(seconds < (1000 * 24 * time.Hour).Seconds()) {
			return 0, false
		}
		return lasts + time.Duration(seconds*float64(time.Second)), true
	}
	return 0, false
}
