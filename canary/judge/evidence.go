// SPDX-License-Identifier: Apache-2.0

package judge

import "math"

// Evidence is what all windows so far say about one relative risk: how many times
// as often something happens to the users of the canary as to those of the primary.
//
// It is a sum over windows: their order does not matter, and neither does a restart between
// two of them, since its text holds every bit of it. Make one with [NewEvidence].
type Evidence struct {
	grid *grid
	// log has, for each relative risk r of the grid, ln P(windows | r) - ln P(windows | 1).
	log []float64
	// numerator and denominator of the Mantel-Haenszel estimate of the relative risk.
	numerator, denominator float64
	// information is the pooled number of events, each divided by its dispersion.
	information     float64
	canary, primary Count
	// weighed is what the canary met, each window divided by its dispersion.
	weighed Count
}

// NewEvidence returns evidence of no windows. A canary that is tolerated times as bad
// as its primary is still fine (1 is strict); one that is regression times
// as bad must not pass. Both are relative risks, and regression is the larger one.
func NewEvidence(tolerated, regression float64) Evidence {
	return Evidence{grid: newGrid(tolerated, regression), log: make([]float64, ratios)}
}

// Add returns the evidence together with one more window. dispersion says how many
// times as much events vary as they would if each happened by itself, see
// [Dispersion]; the window counts for that much less. Less than 1 counts as 1.
//
// Given the total e = x+y of the events of a window (x of them in the canary), and the share s of
// the exposure that the canary had, x is binomial with e trials and the
// probability r·s/(r·s+1-s), whatever the common rate of events is
// (Lindon and Malek 2022, section 2; Przyborowski and Wilenski, Biometrika 1940). So a
// window adds, for each r of the grid,
//
//	x·ln(r) - e·ln(1 + (r-1)·s)
func (e Evidence) Add(w Window, dispersion float64) (Evidence, error) {
	if err := w.Check(); err != nil {
		return e, err
	}
	if !(dispersion > 1) { // also what is no number
		dispersion = 1
	}
	x, y, s := w.Canary.Events, w.Primary.Events, w.share()
	sum := Evidence{grid: e.grid, log: make([]float64, len(e.log)),
		numerator: e.numerator + x*(1-s)/dispersion, denominator: e.denominator + y*s/dispersion,
		information: e.information + informative(x+y, s)/dispersion,
		canary:      e.canary.Plus(w.Canary), primary: e.primary.Plus(w.Primary),
		weighed: e.weighed.Plus(Count{Events: x / dispersion, Exposure: w.Canary.Exposure / dispersion})}
	for i, r := range e.grid.ratios {
		sum.log[i] = e.log[i] + (x*e.grid.logs[i]-(x+y)*math.Log1p((r-1)*s))/dispersion
	}
	return sum, nil
}

// informative returns the events that compare two arms: none if one arm had
// no requests, so that they could only happen in the other.
func informative(events, share float64) float64 {
	if share == 0 || share == 1 {
		return 0
	}
	return events
}

// LogFail returns the logarithm of the e-value against "the canary is no worse than what
// is tolerated". While that holds, it reaches ln(1/alpha) at any time with a
// probability of at most alpha. It is the mean over the grid of the likelihood ratios
// against the tolerated risk; that the bound holds for all smaller risks, too, is
// the monotone likelihood ratio of the binomial.
func (e Evidence) LogFail() float64 { return e.against(failHypothesis, passHypothesis) }

// LogPass returns the logarithm of the e-value against "the canary is regression times as
// bad as the primary, or worse".
func (e Evidence) LogPass() float64 { return e.against(passHypothesis, ratios) }

// LogBelow returns the logarithm of the e-value against "as many of the canary's exposures as this rate, or more, have
// the event", whatever the primary has. It is the mean, over rates of a half to a sixteenth, of the likelihood ratios of
// the binomial distribution, each of which is the smaller on average the larger the true rate is, so that
// the rate may change from window to window (Waudby-Smith and Ramdas, JRSS B 2024, section 4: betting against a mean).
func (e Evidence) LogBelow(rate float64) float64 {
	logs := make([]float64, 0, belows)
	for k := range belows {
		bet := rate / float64(int(2)<<k)
		logs = append(logs, e.weighed.Events*math.Log(bet/rate)+
			(e.weighed.Exposure-e.weighed.Events)*(math.Log1p(-bet)-math.Log1p(-rate)))
	}
	return logMeanExp(logs)
}

// belows is how many smaller rates [Evidence.LogBelow] bets on.
const belows = 4

// against bets on the alternatives that stand behind a hypothesis in the grid.
func (e Evidence) against(hypothesis, end int) float64 {
	return logMeanExp(e.log[hypothesis+1:end]) - e.log[hypothesis]
}

// Canary returns the sum of what the canary met.
func (e Evidence) Canary() Count { return e.canary }

// Primary returns the sum of what the primary met.
func (e Evidence) Primary() Count { return e.primary }

// Ratio estimates the relative risk (Mantel and Haenszel, JNCI 1959, for rates:
// Rothman, Modern Epidemiology): weights that change between windows do not bias it, as the ratio
// of the totals would be (Simpson's paradox). It is NaN while there are no
// events to compare, and infinite if only the canary has any.
func (e Evidence) Ratio() float64 {
	if e.numerator == 0 && e.denominator == 0 {
		return math.NaN()
	}
	return e.numerator / e.denominator
}

// AtLeast returns a bound that the relative risk is not below, of the points of the
// grid: at all times together it is wrong with a probability of at most alpha. 0
// means that nothing is known. It is the end of the range of smallest risks that are all
// rejected (a confidence sequence by inverting tests, Howard et al., Annals of Statistics 2021).
func (e Evidence) AtLeast(alpha float64) float64 {
	points := e.points()
	bound := 0.0
	for i, p := range points {
		if i == len(points)-1 || logMeanExp(above(points[i:], p.log)) < math.Log(1/alpha) {
			break
		}
		bound = p.ratio
	}
	return bound
}

// AtMost returns a bound that the relative risk is not above, as [Evidence.AtLeast]
// does; +Inf means that nothing is known.
func (e Evidence) AtMost(alpha float64) float64 {
	points := e.points()
	bound := math.Inf(1)
	for i := len(points) - 1; i > 0; i-- {
		if logMeanExp(above(points[:i+1], points[i].log)) < math.Log(1/alpha) {
			break
		}
		bound = points[i].ratio
	}
	return bound
}
