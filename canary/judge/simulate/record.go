// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// Recording is how a simulated release is recorded: by the counters of pods, which are read at the
// end of each window.
type Recording struct {
	Begin time.Time
	// Before and After are the numbers of windows without a canary.
	Before, After int
	// Primaries is the number of pods of the primary; the canary has one.
	Primaries int
}

// Record plays one release, and calls each with the readings of its counters.
func Record(random *rand.Rand, s Service, r ReleaseModel, o Recording, each func(counter.Reading) error) error {
	p := &pods{primaries: make([]counter.Counts, o.Primaries)}
	for at := range o.Before + r.Windows + o.After + 1 {
		window := at - 1 - o.Before // of the release
		if at > 0 {
			p.play(random, s, r, window)
		}
		reading := counter.Reading{At: o.Begin.Add(time.Duration(at) * r.Window)}
		if window >= -1 && window <= r.Windows { // it is there before it gets requests
			reading.Samples = append(reading.Samples, samples(counter.Canary, "canary-0", p.canary, reading.At)...)
		}
		for i, c := range p.primaries {
			reading.Samples = append(reading.Samples, samples(counter.Primary, fmt.Sprintf("primary-%d", i), c, reading.At)...)
		}
		if err := each(reading); err != nil {
			return err
		}
	}
	return nil
}

// pods are the counters of the pods of both arms.
type pods struct {
	canary    counter.Counts
	primaries []counter.Counts
}

// play adds what happens in a window; one before the release or after it has no canary.
func (p *pods) play(random *rand.Rand, s Service, r ReleaseModel, window int) {
	share, rate := 0.0, s.Rate
	if window >= 0 && window < r.Windows {
		share, rate = r.Share(window), s.rate(window)
	}
	requests := s.Requests * r.Window.Seconds()
	count := func(c *counter.Counts, n, rate float64) {
		drawn := s.count(random, int(n+random.Float64()), rate)
		c.Requests, c.Errors = c.Requests+drawn.Exposure, c.Errors+drawn.Events
	}
	count(&p.canary, requests*share, min(rate*r.Ratio+r.More, 1))
	for i := range p.primaries {
		count(&p.primaries[i], requests*(1-share)/float64(len(p.primaries)), rate)
	}
}

func samples(arm counter.Arm, pod string, c counter.Counts, scraped time.Time) []counter.Sample {
	return []counter.Sample{
		{Arm: arm, Pod: pod, Class: counter.Requests, Value: c.Requests, Scraped: scraped},
		{Arm: arm, Pod: pod, Class: counter.Errors, Value: c.Errors, Scraped: scraped},
	}
}
