// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"slices"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// Baseline is what the halves of the primary say about a service while nothing is released.
// The zero value has seen nothing.
type Baseline struct {
	// Windows is how many there are, and Seconds how long they last together.
	Windows int
	Seconds float64
	// Primary is the sum of what the primary met.
	Primary counter.Counts

	errors judge.Dispersion
	slow   []judge.Dispersion // by bound
	bounds []float64
}

// Add returns the baseline together with one more window. The bounds of a histogram are those
// of the first window that has any.
func (b Baseline) Add(w counter.Increments) Baseline {
	sum := b
	sum.Windows++
	sum.Seconds += w.To.Sub(w.From).Seconds()
	sum.errors = b.errors.Add(failed(w.Halves[0]), failed(w.Halves[1]))
	if b.bounds == nil && len(w.Bounds) > 0 {
		sum.bounds, sum.slow = w.Bounds, make([]judge.Dispersion, len(w.Bounds))
		sum.Primary.Slower = make([]float64, len(w.Bounds))
	}
	sum.slow, sum.Primary.Slower = slices.Clone(sum.slow), slices.Clone(sum.Primary.Slower)
	sum.Primary.Requests += w.Primary.Requests
	sum.Primary.Errors += w.Primary.Errors
	sum.Primary.Timed += w.Primary.Timed
	for i, bound := range sum.bounds {
		if at := slices.Index(w.Bounds, bound); at >= 0 {
			sum.slow[i] = sum.slow[i].Add(slower(w.Halves[0], at), slower(w.Halves[1], at))
			sum.Primary.Slower[i] += w.Primary.Slower[at]
		}
	}
	return sum
}

// Traffic is what the service is used to, as far as errors go.
func (b Baseline) Traffic() judge.TrafficProfile {
	t := judge.TrafficProfile{Dispersion: b.dispersion(judge.Errors)}
	if b.Seconds > 0 {
		t.Requests = b.Primary.Requests / b.Seconds
	}
	if b.Primary.Requests > 0 {
		t.Rate = b.Primary.Errors / b.Primary.Requests
	}
	return t
}

// Slow is the same of requests that are slower than the bound that passing is about, and the bound; zero
// without a histogram.
func (b Baseline) Slow() (t judge.TrafficProfile, over time.Duration) {
	if len(b.bounds) == 0 || b.Seconds <= 0 || b.Primary.Timed <= 0 {
		return t, 0
	}
	at := b.usualBound(b.bounds)
	return judge.TrafficProfile{Requests: b.Primary.Timed / b.Seconds, Rate: b.Primary.Slower[at] / b.Primary.Timed,
		Dispersion: b.dispersion(judge.Latency)}, seconds(b.bounds[at])
}

// Dispersion is how many times as much errors vary as they would if each happened by itself.
func (b Baseline) Dispersion() float64 { return b.dispersion(judge.Errors) }

// dispersion is that of a kind of metric: of a latency the largest of its bounds. Requests
// are split by chance, which each of them is given.
func (b Baseline) dispersion(kind judge.Kind) float64 {
	switch kind {
	case judge.Errors:
		return b.errors.Factor()
	case judge.Latency:
		largest := 1.0
		for _, d := range b.slow {
			largest = max(largest, d.Factor())
		}
		return largest
	default:
		return 1
	}
}

// usualBound is the index of the largest bound that one in a hundred requests exceeds; the
// smallest one if there is none.
func (b Baseline) usualBound(bounds []float64) int {
	for i := len(bounds) - 1; i > 0; i-- {
		at := slices.Index(b.bounds, bounds[i])
		if at >= 0 && b.Primary.Slower[at] >= usual*b.Primary.Timed && b.Primary.Timed > 0 {
			return i
		}
	}
	return 0
}
