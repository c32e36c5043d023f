// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"math"
	"math/rand/v2"
)

// Binomial draws how many of n things happen, each with probability p: it counts how
// many gaps of the geometric distribution fit into n (Devroye, Non-Uniform Random
// Variate Generation, 1986, section X.4.3). Exact; it takes n·min(p, 1-p) steps.
// gonum has the same, with its linear algebra behind it.
func Binomial(random *rand.Rand, n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - Binomial(random, n, 1-p)
	}
	drawn, at, each := 0, 0.0, math.Log1p(-p)
	for {
		at += math.Floor(math.Log(1-random.Float64())/each) + 1
		if at > float64(n) {
			return drawn
		}
		drawn++
	}
}

// Poisson draws how many of infinitely many rare things happen, mean of them on average: it
// counts how many gaps of the exponential distribution fit into mean. Exact.
func Poisson(random *rand.Rand, mean float64) int {
	drawn := 0
	for at := random.ExpFloat64(); at <= mean; at += random.ExpFloat64() {
		drawn++
	}
	return drawn
}
