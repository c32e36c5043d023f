// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"math"

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
	// Evidence of the trial under way, and how many windows it has.
	Evidence *judge.Evidence `json:",omitempty"`
	Lasted   int
}

const (
	// trialWindows is how many windows a trial has at most.
	trialWindows = 60
	// rememberedTrials are as many as count; then all so far count for half.
	rememberedTrials = 400
	// chance is how improbable it has to be that nothing is wrong.
	chance = 0.001
)

// Add returns the test together with one more window. dispersion is that of the windows before.
func (t SelfTest) Add(w counter.Increments, s judge.Settings, dispersion float64) SelfTest {
	halves := judge.Window{Canary: failed(w.Halves[0]), Primary: failed(w.Halves[1])}
	if halves.Canary.Exposure == 0 || halves.Primary.Exposure == 0 {
		return t
	}
	evidence := judge.NewEvidence(s.Tolerated, s.Regression)
	if t.Evidence != nil {
		evidence = *t.Evidence
	}
	sum, err := evidence.Add(halves, dispersion)
	if err != nil {
		return t
	}
	t.Windows, t.Lasted, t.Evidence = t.Windows+1, t.Lasted+1, &sum
	alarm := sum.LogFail() >= math.Log(1/s.Alpha)
	if !alarm && t.Lasted < trialWindows {
		return t
	}
	t.Trials, t.Lasted, t.Evidence = t.Trials+1, 0, nil
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
	return t.FalseAlarms > 0 && atLeast(t.FalseAlarms, t.Trials, alpha) < chance
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
