// SPDX-License-Identifier: Apache-2.0

package judge

import "fmt"

// Settings say how sure a verdict has to be, and of what.
type Settings struct {
	// Alpha bounds the probability that a release as good as its primary fails, over all
	// metrics and all looks together.
	Alpha float64
	// Beta bounds the probability that a release passes although one of its metrics is
	// Regression times as bad as the primary's.
	Beta float64
	// Tolerated is the largest relative risk that is no regression: 1 tolerates none.
	Tolerated float64
	// Regression is the smallest relative risk that must not pass: 2 is a doubling.
	Regression float64
	// Negligible is the part of the canary's requests that may fail, or be slower than usual, without anybody minding:
	// a release below it passes also if it is a regression, or if there is nothing to compare. 0 is none.
	Negligible float64
	// MinSamples is the number of requests to the canary below which there is no verdict.
	MinSamples float64
}

// Default returns the settings of a judge whose spec has none: one healthy release in a hundred may
// fail, and one doubling in twenty may pass.
func Default() Settings {
	return Settings{Alpha: 0.01, Beta: 0.05, Tolerated: 1, Regression: 2, Negligible: 0.001, MinSamples: 50}
}

// maxNegligible is one request in ten.
const maxNegligible = 0.1

// Check reports a setting that no verdict can be reached by.
func (s Settings) Check() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"alpha", s.Alpha}, {"beta", s.Beta}} {
		if !(p.value >= 1e-9 && p.value < 1) {
			return fmt.Errorf("%s is %g and has to be at least 1e-9 and less than 1", p.name, p.value)
		}
	}
	if !(s.Negligible >= 0 && s.Negligible <= maxNegligible) {
		return fmt.Errorf("negligible is %g and has to be at least 0 and at most %g", s.Negligible, maxNegligible)
	}
	if !(s.MinSamples >= 0 && s.MinSamples <= maxCount) {
		return fmt.Errorf("minSamples is %g and has to be at least 0 and at most %g", s.MinSamples, float64(maxCount))
	}
	return checkRisks(s.Tolerated, s.Regression)
}
