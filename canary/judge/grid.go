// SPDX-License-Identifier: Apache-2.0

package judge

import "math"

// alternatives and passAlternatives are the numbers of relative risks that
// the two tests spread their bets over.
const (
	alternatives     = 24
	passAlternatives = 24
	smallest         = 1.1 // the least regression that is bet on, as a multiple of what is tolerated
	largest          = 50
	improvement      = 8 // the largest improvement that the test for Pass bets on
)

// grid holds relative risks: how many times as often something happens in the canary
// as in the primary. It is shared and never changed.
type grid struct {
	// tolerated is the largest relative risk that is no regression, and regression the
	// one that a canary which passes does not have.
	tolerated, regression float64
	// ratios has tolerated and those above it that the test for Fail bets on, and then
	// regression and those below it that the test for Pass bets on; logs are their logarithms.
	ratios, logs []float64
}

func newGrid(tolerated, regression float64) *grid {
	g := &grid{tolerated: tolerated, regression: regression}
	g.ratios = append(g.ratios, tolerated)
	g.ratios = append(g.ratios, spread(tolerated*smallest, tolerated*largest, alternatives)...)
	g.ratios = append(g.ratios, regression)
	g.ratios = append(g.ratios, spread(regression/improvement, regression, passAlternatives)...)
	for _, r := range g.ratios {
		g.logs = append(g.logs, math.Log(r))
	}
	return g
}

// The places of the two tests in ratios: the hypothesis, the first alternative, and
// where they end.
const (
	failHypothesis = 0
	passHypothesis = failHypothesis + 1 + alternatives
	ratios         = passHypothesis + 1 + passAlternatives
)

// spread returns n numbers from low to high whose logarithms are evenly spaced.
func spread(low, high float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = low * math.Pow(high/low, float64(i)/float64(n-1))
	}
	return values
}

// logMeanExp returns the logarithm of the mean of the exponentials of logs.
func logMeanExp(logs []float64) float64 {
	top := math.Inf(-1)
	for _, l := range logs {
		top = max(top, l)
	}
	if math.IsInf(top, 0) {
		return top
	}
	var sum float64
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum/float64(len(logs)))
}
