// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"math"
	"slices"

	"github.com/sluice-cd/sluice/canary/judge"
)

// Kayenta is the rule of Kayenta's judge NetflixACAJudge-v1.0 for a metric whose
// increase is bad: after Windows it compares the rates of all windows by a
// Mann-Whitney test, and fails the canary if the whole confidence interval (98 %) of
// the shift is above a quarter of its estimate.
type Kayenta struct {
	Windows int

	canary, primary []float64
}

// Evaluate implements [Rule].
func (k *Kayenta) Evaluate(w judge.Window) End {
	k.canary, k.primary = append(k.canary, w.Canary.Rate()), append(k.primary, w.Primary.Rate())
	if len(k.canary) < k.Windows {
		return Running
	}
	if k.high() {
		return RolledBack
	}
	return Promoted
}

// high reports whether the canary's rates are higher. Arms that do not vary are equal unless
// their values differ.
func (k *Kayenta) high() bool {
	a, b := slices.Sorted(slices.Values(k.canary)), slices.Sorted(slices.Values(k.primary))
	if slices.Equal(a, b) {
		return false
	}
	if a[0] == a[len(a)-1] && b[0] == b[len(b)-1] {
		return a[0] > b[0]
	}
	low, estimate := shiftAt(a, b, 2.326), shiftAt(a, b, 0)
	return low > math.Abs(estimate)/4
}

// shiftAt returns the shift of a against b at which the statistic of Mann and Whitney
// is z standard deviations above its mean, by halving intervals.
func shiftAt(a, b []float64, z float64) float64 {
	low, high := a[0]-b[len(b)-1]-1, a[len(a)-1]-b[0]+1
	for range 50 {
		middle := (low + high) / 2
		if mannWhitney(a, b, middle) > z {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// mannWhitney returns the standardised statistic of how often values of a, less a
// shift, are larger than those of b, with its corrections for ties and continuity
// (Mann and Whitney 1947; Lehmann, Nonparametrics, 1975).
func mannWhitney(a, b []float64, shift float64) float64 {
	type value struct {
		v     float64
		fromA bool
	}
	all := make([]value, 0, len(a)+len(b))
	for _, v := range a {
		all = append(all, value{v - shift, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.v, y.v) })
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		for _, v := range all[i:j] {
			if v.fromA {
				ranks += float64(i+j+1) / 2
			}
		}
		t := float64(j - i)
		ties, i = ties+t*t*t-t, j
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2 - n*m/2
	variance := n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1)))
	if variance <= 0 {
		return 0
	}
	if u != 0 {
		u -= math.Copysign(0.5, u)
	}
	return u / math.Sqrt(variance)
}
