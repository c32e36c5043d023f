// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
)

// Service is what a service is like while nothing is released.
type Service struct {
	// Requests is the number of requests per second.
	Requests float64
	// Rate is the probability that a request of the primary is an event, such as an error.
	Rate float64
	// Burst is how many events come together: a client in trouble does not send one bad
	// request. 1 and less are independent events.
	Burst int
	// Outage, if it is not nil, returns the rate of both arms in a window instead of
	// Rate: a database that fails does so for both.
	Outage func(window int) float64
}

// ReleaseModel is how the canary differs, and what users it has.
type ReleaseModel struct {
	// Ratio is how many times as often events happen in the canary.
	Ratio float64
	// More is a part of the requests of the canary that are events beside those.
	More float64
	// Share returns the part of the users that the canary has in a window.
	Share func(window int) float64
	// Window is how long each lasts, and Windows how many there are at most.
	Window  time.Duration
	Windows int
}

// Halves is what two halves of the primary met in a window before the release.
type Halves struct{ First, Second judge.Count }

// Constant is a share that does not change.
func Constant(share float64) func(int) float64 { return func(int) float64 { return share } }

// Draw returns what both arms meet in one window.
func (s Service) Draw(random *rand.Rand, r ReleaseModel, window int) judge.Window {
	requests := s.Requests * r.Window.Seconds()
	n := int(math.Round(requests * r.Share(window)))
	m := int(math.Round(requests)) - n
	rate := s.rate(window)
	return judge.Window{Canary: s.count(random, n, min(rate*r.Ratio+r.More, 1)), Primary: s.count(random, m, rate)}
}

// DrawHalves returns what two halves of the primary meet in a window before the release.
func (s Service) DrawHalves(random *rand.Rand, lasts time.Duration) Halves {
	m := int(math.Round(s.Requests * lasts.Seconds() / 2))
	return Halves{First: s.count(random, m, s.Rate), Second: s.count(random, m, s.Rate)}
}

func (s Service) rate(window int) float64 {
	if s.Outage != nil {
		return s.Outage(window)
	}
	return s.Rate
}

// count draws the events of one arm. Bursts have a geometric size with the mean Burst, so that
// the variance is 2·Burst-1 times that of independent events.
func (s Service) count(random *rand.Rand, requests int, rate float64) judge.Count {
	c := judge.Count{Exposure: float64(requests)}
	if s.Burst <= 1 {
		c.Events = float64(Binomial(random, requests, rate))
		return c
	}
	for range Poisson(random, float64(requests)*rate/float64(s.Burst)) {
		size := 1
		for random.Float64() > 1/float64(s.Burst) {
			size++
		}
		c.Events += float64(size)
	}
	c.Events = min(c.Events, c.Exposure)
	return c
}
