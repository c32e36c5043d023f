// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"math"
	"slices"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// SelfTest judges the halves of the primary as if one of them were a canary. They are the same, so that whatever the
// judge finds between them is a false alarm, of which there should be as many as it promises:
//
//	trial   as many windows as a long release has, or as few as it takes for a false alarm
//	failed  so many false alarms that, if the promise held, it would come to that one time in a thousand
//
// The zero value has tested nothing.
type SelfTest struct {
	// Windows were compared, in so many Trials, of which so many were FalseAlarms.
	Windows, Trials, FalseAlarms int
	// Evidence about errors of the trial under way, and how many windows it has.
	Evidence *judge.Evidence `json:",omitempty"`
	Lasted   int
	// Slow is the evidence about requests that take longer than Over, in seconds; nil if latency is not judged, or has no
	// histogram.
	Slow *judge.Evidence `json:",omitempty"`
	Over float64         `json:",omitempty"`
}

const (
	// trialWindows is how many windows a trial has at most.
	trialWindows = 60
	// rememberedTrials are as many as count; then all so far count for half.
	rememberedTrials = 400
	// chance is how improbable it has to be that nothing is wrong.
	chance = 0.001
)

// Add returns the test together with one more window; before are the windows before it, and kinds what is judged. Halves are
// compared by errors, unless only other things are judged, and by how many requests take longer than the bound of the histogram
// that passing is about. What both say is held to what it is in a release, in which each has a part of alpha.
func (t SelfTest) Add(w counter.Increments, s judge.Settings, before Baseline, kinds ...judge.Kind) SelfTest {
	latency := slices.Contains(kinds, judge.Latency)
	if w.Halves[0].Requests == 0 || w.Halves[1].Requests == 0 {
		return t
	}
	sum, alarm := t, false
	sum.Windows, sum.Lasted = t.Windows+1, t.Lasted+1
	limit := math.Log(float64(max(1, len(kinds))) / s.Alpha)
	if !latency || slices.Contains(kinds, judge.Errors) {
		evidence, err := t.add(t.Evidence, s, [2]judge.Count{failed(w.Halves[0]), failed(w.Halves[1])}, before.dispersion(judge.Errors))
		if err != nil {
			return t
		}
		sum.Evidence, alarm = &evidence, evidence.LogFail() >= limit
	}
	if t.Slow == nil && latency && len(before.bounds) > 0 {
		sum.Over = before.bounds[before.usualBound(before.bounds)]
	}
	if at := slices.Index(w.Bounds, sum.Over); at >= 0 && latency {
		evidence, err := t.add(t.Slow, s, [2]judge.Count{slower(w.Halves[0], at), slower(w.Halves[1], at)}, before.dispersion(judge.Latency))
		if err != nil {
			return t
		}
		sum.Slow, alarm = &evidence, alarm || evidence.LogFail() >= limit
	}
	return sum.ended(alarm)
}

// add is evidence together with what the halves met. Each of them is the canary in every other trial: the judge looks for what
// is worse, and either may be.
func (t SelfTest) add(of *judge.Evidence, s judge.Settings, halves [2]judge.Count, dispersion float64) (judge.Evidence, error) {
	evidence := judge.NewEvidence(s.Tolerated, s.Regression)
	if of != nil {
		evidence = *of
	}
	canary := t.Trials % 2
	return evidence.Add(judge.Window{Canary: halves[canary], Primary: halves[1-canary]}, dispersion)
}

// ended is the test with its trial at an end, if it is: by a false alarm, or since it was as long as a release.
func (t SelfTest) ended(alarm bool) SelfTest {
	if !alarm && t.Lasted < trialWindows {
		return t
	}
	t.Trials, t.Lasted, t.Evidence, t.Slow, t.Over = t.Trials+1, 0, nil, nil, 0
	if alarm {
		t.FalseAlarms++
	}
	if t.Trials >= rememberedTrials {
		t.Trials, t.FalseAlarms = t.Trials/2, t.FalseAlarms/2
	}
	return t
}

// Check reports a test that no windows lead to.
func (t SelfTest) Check() error {
	if t.FalseAlarms < 0 || t.FalseAlarms > t.Trials || t.Trials >= rememberedTrials ||
		t.Windows < 0 || t.Lasted < 0 || t.Lasted >= trialWindows {
		return fmt.Errorf("reading a self-test: it has %d false alarms of %d trials, and the last of %d windows has %d",
			t.FalseAlarms, t.Trials, t.Windows, t.Lasted)
	}
	return nil
}

// Failed reports whether there are more false alarms than a judge of this alpha has.
func (t SelfTest) Failed(alpha float64) bool {
	return atLeast(t.FalseAlarms, t.Trials, alpha) < chance
}

// Rate is the part of the trials that were false alarms.
func (t SelfTest) Rate() float64 {
	if t.Trials == 0 {
		return 0
	}
	return float64(t.FalseAlarms) / float64(t.Trials)
}

// atLeast is the probability that k or more of n trials succeed, each with the probability p.
func atLeast(k, n int, p float64) float64 {
	below := 0.0
	for i := range k {
		lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
		below += math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return max(0, 1-below)
}
