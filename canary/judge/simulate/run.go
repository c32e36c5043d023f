// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"math/rand/v2"
	"slices"
	"time"
)

// baselineWindows is the number of windows before a release from which its
// dispersion is measured: an hour of windows of 10 s.
const baselineWindows = 360

// Result counts what became of many releases.
type Result struct {
	Runs, RolledBack, Promoted int
	// RolledBackAfter and PromotedAfter are medians over those that ended so.
	RolledBackAfter, PromotedAfter time.Duration
	// RolledBackTimes are the durations of the releases that were rolled back, rising.
	RolledBackTimes []time.Duration
	// Errors is the mean number of events that users of the canary met.
	Errors float64
}

// RolledBackRate returns the part of the releases that were rolled back.
func (r Result) RolledBackRate() float64 { return float64(r.RolledBack) / float64(r.Runs) }

// PromotedRate returns the part of the releases that were promoted by a decision.
func (r Result) PromotedRate() float64 { return float64(r.Promoted) / float64(r.Runs) }

// Run plays runs releases of a service, each against a new rule, which is told what the
// halves of the primary met before.
func Run(random *rand.Rand, s Service, r ReleaseModel, runs int, rule func(before []Halves) Rule) Result {
	return runUntil(func() bool { return false }, random, Scenario{Service: s, Release: r}, runs, rule)
}

// runUntil is [Run] until nobody waits for it any more; then its result is none.
func runUntil(abandoned func() bool, random *rand.Rand, of Scenario, runs int, rule func(before []Halves) Rule) Result {
	s, r, result := of.Service, of.Release, Result{Runs: runs}
	ends := map[End][]int{}
	for range runs {
		if abandoned() {
			return result
		}
		before := make([]Halves, baselineWindows)
		for i := range before {
			before[i] = s.DrawHalves(random, r.Window)
		}
		end, window, errors := play(random, s, r, rule(before))
		ends[end] = append(ends[end], window)
		result.Errors += errors / float64(runs)
	}
	result.RolledBack, result.RolledBackAfter = len(ends[RolledBack]), median(ends[RolledBack], r.Window)
	for _, windows := range ends[RolledBack] {
		result.RolledBackTimes = append(result.RolledBackTimes, time.Duration(windows)*r.Window)
	}
	result.Promoted, result.PromotedAfter = len(ends[Promoted]), median(ends[Promoted], r.Window)
	return result
}

// play returns how a release ends, after how many windows, and how many events users
// of the canary met.
func play(random *rand.Rand, s Service, r ReleaseModel, rule Rule) (End, int, float64) {
	errors := 0.0
	for window := range r.Windows {
		w := s.Draw(random, r, window)
		errors += w.Canary.Events
		if end := rule.Evaluate(w); end != Running {
			return end, window + 1, errors
		}
	}
	return Running, r.Windows, errors
}

func median(windows []int, lasts time.Duration) time.Duration {
	if len(windows) == 0 {
		return 0
	}
	slices.Sort(windows)
	return time.Duration(windows[len(windows)/2]) * lasts
}
