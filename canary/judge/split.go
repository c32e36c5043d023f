// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"math"
	"time"
)

const (
	splitTolerated = 1.1
	splitAlpha     = 0.001
)

// SettlesWithin is how long proxies may take to take new weights up: until then, who gets which requests says
// nothing about weights.
const SettlesWithin = 10 * time.Second

// Split is the evidence that the arms get other shares of the requests than their
// weights say: retries, ejected pods, or a route that does not do what it is told.
// Then the arms are no fair comparison, and no verdict about them holds (a sample ratio mismatch:
// Lindon and Malek 2022, section 4). Make one with [NewSplit].
type Split struct {
	// More and Fewer are about more and fewer requests of the canary than its weight says.
	More, Fewer Evidence
}

// NewSplit returns the evidence of no windows.
func NewSplit() Split {
	return Split{More: NewEvidence(splitTolerated, 2), Fewer: NewEvidence(splitTolerated, 2)}
}

// Add returns the evidence together with a window whose events are requests, and whose
// exposures are the weights multiplied by seconds.
func (s Split) Add(w Window, dispersion float64) (Split, error) {
	more, err := s.More.Add(w, dispersion)
	if err != nil {
		return s, err
	}
	fewer, err := s.Fewer.Add(w.swapped(), dispersion)
	return Split{More: more, Fewer: fewer}, err
}

// Mismatch reports whether the shares differ from the weights by more than a tenth, one
// time in a thousand wrongly, and how many times the requests that its weight says the canary got.
func (s Split) Mismatch() (ratio float64, differs bool) {
	log := logMeanExp([]float64{s.More.LogFail(), s.Fewer.LogFail()})
	return s.More.ofExpected(), log >= math.Log(1/splitAlpha)
}

// ofExpected is the number of the canary's events, of as many as there would be if both arms had as many for their
// exposure.
func (e Evidence) ofExpected() float64 { return e.canary.Events / e.expected() }

// expected is that number, the sum of e·s over windows: x less the difference of the two sums of the estimate, of windows
// whose dispersion is 1.
func (e Evidence) expected() float64 { return e.canary.Events - e.numerator + e.denominator }
