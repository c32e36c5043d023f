// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"cmp"
	"slices"
)

// point is one relative risk of the grid and its log likelihood.
type point struct{ ratio, log float64 }

// points returns the grid by relative risk, each once.
func (e Evidence) points() []point {
	points := make([]point, 0, len(e.log)+1)
	for i, r := range e.grid.ratios {
		points = append(points, point{ratio: r, log: e.log[i]})
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.ratio, b.ratio) })
	return slices.CompactFunc(points, func(a, b point) bool { return a.ratio == b.ratio })
}

// above returns the log likelihood ratios of points against a hypothesis.
func above(points []point, hypothesis float64) []float64 {
	logs := make([]float64, len(points))
	for i, p := range points {
		logs[i] = p.log - hypothesis
	}
	return logs
}
