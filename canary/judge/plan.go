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
func (s Settings) needs(e Evidence, kind Kind, alpha float64) float64 {
	ratio := e.Ratio()
	total := e.canary.Exposure + e.primary.Exposure
	switch {
	case total == 0, math.IsNaN(ratio) && !s.neglects(kind):
		return math.Inf(1)
	case math.IsNaN(ratio):
		return math.Max(1, (s.passes(kind)+overshootBelow-e.LogBelow(s.Negligible))/belowGain(0, s.Negligible))
	}
	share := min(max(e.canary.Exposure/total, 1e-6), 1-1e-6)
	ratio = min(max(ratio, s.Regression/improvement), s.Tolerated*largest)
	hypothesis, missing := s.Regression, s.passes(kind)+overshoot-e.LogPass()
	if ratio > math.Sqrt(s.Tolerated*s.Regression) { // nearer to a regression than to none
		hypothesis, missing = s.Tolerated, math.Log(1/alpha)+overshoot-e.LogFail()
	}
	each := gain(ratio, hypothesis, share)
	if e.information > 0 { // what one event was worth so far
		each *= e.information / (e.canary.Events + e.primary.Events)
	}
	return math.Max(1, missing/each)
}

// passes is what the logarithm of one of the e-values for Pass has to reach if the other is of no use.
func (s Settings) passes(kind Kind) float64 {
	if s.neglects(kind) {
		return math.Log(2 / s.Beta)
	}
	return math.Log(1 / s.Beta)
}

// overshootBelow is what betting on one of four rates costs.
const overshootBelow = 0.55

// belowGain is how much the logarithm of the e-value against a rate grows with each request of the canary on average,
// if the true rate is another: at least nothing.
func belowGain(truth, rate float64) float64 {
	best := 0.0
	for k := range belows {
		bet := rate / float64(int(2)<<k)
		best = max(best, truth*math.Log(bet/rate)+(1-truth)*(math.Log1p(-bet)-math.Log1p(-rate)))
	}
	return best
}

// PlannedShare is one step of a plan: for how long the canary has which part of the users.
type PlannedShare struct {
	Share float64
	Lasts time.Duration
}

// TrafficProfile is what a service is used to: requests per second, the part of them that are
// events such as errors, and the dispersion of these.
type TrafficProfile struct {
	Requests, Rate, Dispersion float64
}

// Expect returns how long it takes, on average, until a canary that is ratio times
// as bad as its primary fails or, if ratio is no regression, until it passes. The last
// step goes on for as long as it takes. ok is false if that is never, or longer
// than a thousand days. It is no sooner than the canary has MinSamples requests.
func (s Settings) Expect(t TrafficProfile, steps []PlannedShare, ratio float64, metrics int) (lasts time.Duration, ok bool) {
	lasts, ok = s.untilSure(t, steps, ratio, metrics)
	if s.MinSamples == 0 || !ok {
		return lasts, ok
	}
	enough, ok := until(steps, s.MinSamples, func(share float64) float64 { return t.Requests * share })
	return max(lasts, enough), ok
}

// untilSure is how long it takes if any number of requests will do.
func (s Settings) untilSure(t TrafficProfile, steps []PlannedShare, ratio float64, metrics int) (lasts time.Duration, ok bool) {
	against := func(hypothesis float64) func(float64) float64 {
		return func(share float64) float64 {
			return t.Requests * t.Rate * (share*ratio + 1 - share) * gain(ratio, hypothesis, share) / max(t.Dispersion, 1)
		}
	}
	if ratio > s.Tolerated {
		return until(steps, math.Log(float64(max(metrics, 1))/s.Alpha)+overshoot, against(s.Tolerated))
	}
	lasts, ok = until(steps, s.passes(Errors)+overshoot, against(s.Regression))
	if s.Negligible == 0 {
		return lasts, ok
	}
	below, found := until(steps, s.passes(Errors)+overshootBelow, func(share float64) float64 {
		return t.Requests * share * belowGain(min(t.Rate*ratio, 1), s.Negligible) / max(t.Dispersion, 1)
	})
	if found && (!ok || below < lasts) {
		return below, true
	}
	return lasts, ok
}

// until is how long it takes until what is missing is gained, at so much a second by the share of the canary.
func until(steps []PlannedShare, missing float64, gains func(share float64) float64) (lasts time.Duration, ok bool) {
	for i, step := range steps {
		perSecond := gains(step.Share)
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
