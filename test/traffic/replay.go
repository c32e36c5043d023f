// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// TickRules are the settings of a Canary that Flagger's algorithm depends on.
type TickRules struct {
	Interval                         time.Duration
	Threshold, StepWeight, MaxWeight int
}

// Replay returns how many requests would have failed, had Flagger's algorithm
// decided about the release that an account is of. Its rules, as of 1.44: it looks
// once per interval. The first look at a ready canary gives it the first weight. A
// look that finds the metrics bad counts a failure and leaves the weight as it is;
// the look after the one that reached the threshold takes the users away. A good
// look takes the next weight, and promotes at the highest.
//
// The requests come as fast as they did, and the canary fails as many of its own.
// What the look itself takes, and the delay of the metrics, count for nothing, in
// Flagger's favour. good says what the metrics say of the canary.
func (r TickRules) Replay(a Account, good func(failing float64) bool) float64 {
	failing := share(a.CanaryFailed, a.Canary)
	if a.Took <= 0 || r.StepWeight <= 0 {
		return 0
	}
	perTick := float64(a.Requests) / a.Took.Seconds() * r.Interval.Seconds()
	failed, checks := 0.0, 0
	for weight := min(r.StepWeight, 100); ; {
		failed += perTick * float64(weight) / 100 * failing // until the next look
		switch {
		case checks >= r.Threshold:
			return failed
		case !good(failing):
			checks++
		case weight >= r.MaxWeight:
			return failed
		default:
			weight = min(weight+r.StepWeight, 100)
		}
	}
}
