// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"math/rand/v2"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
)

// Scenario is a service and a release of it whose truth is known.
type Scenario struct {
	Name    string
	Service Service
	Release ReleaseModel
}

// Row is what each rule does in a scenario.
type Row struct {
	Scenario                      Scenario
	Judge, Flagger, Argo, Kayenta Result
}

// Play runs a scenario against each rule. The judge looks at every window; the others at minutes,
// as they are usually configured, and Kayenta once at the end.
// It ends when abandoned says that nobody waits for it any more; then the row means nothing.
func (s Scenario) Play(abandoned func() bool, random *rand.Rand, settings judge.Settings, runs int) Row {
	minutes := s.minutes()
	return Row{
		Scenario: s,
		Judge: runUntil(abandoned, random, s, runs, func(before []Halves) Rule {
			return NewSequentialRule(settings, before)
		}),
		Flagger: runUntil(abandoned, random, minutes, runs, func([]Halves) Rule {
			return &Flagger{Least: 99, Threshold: 5, Steps: 5}
		}),
		Argo: runUntil(abandoned, random, minutes, runs, func([]Halves) Rule {
			return &Argo{Least: 99, FailureLimit: 3}
		}),
		Kayenta: runUntil(abandoned, random, minutes, runs, func([]Halves) Rule {
			return &Kayenta{Windows: minutes.Release.Windows}
		}),
	}
}

// minutes returns the scenario in windows of a minute.
func (s Scenario) minutes() Scenario {
	each := max(1, int(time.Minute/s.Release.Window))
	m := s
	m.Release.Window, m.Release.Windows = s.Release.Window*time.Duration(each), max(1, s.Release.Windows/each)
	m.Release.Share = func(window int) float64 { return s.Release.Share(window * each) }
	if s.Service.Outage != nil {
		m.Service.Outage = func(window int) float64 { return s.Service.Outage(window * each) }
	}
	return m
}

// Scenarios returns releases of a service for the table that people know the rules by: from as
// good as before to much worse, at a tenth of the users for up to half an
// hour. window is how often the judge looks.
func Scenarios(window time.Duration) []Scenario {
	release := func(ratio, more float64) ReleaseModel {
		return ReleaseModel{Ratio: ratio, More: more, Share: Constant(0.1), Window: window, Windows: int(30 * time.Minute / window)}
	}
	outage := func(at int) float64 {
		if since := time.Duration(at) * window; since >= time.Minute && since < 8*time.Minute {
			return 0.1
		}
		return 0.001
	}
	return []Scenario{
		{"same, 10 requests a second, 0.5 % errors", Service{Requests: 10, Rate: 0.005}, release(1, 0)},
		{"same, 100, 0.1 %", Service{Requests: 100, Rate: 0.001}, release(1, 0)},
		{"same, 100, 1 %", Service{Requests: 100, Rate: 0.01}, release(1, 0)},
		{"same, 100, 2 %", Service{Requests: 100, Rate: 0.02}, release(1, 0)},
		{"same, 100, shared outage of 10 % for 7 minutes", Service{Requests: 100, Rate: 0.001, Outage: outage}, release(1, 0)},
		{"twice, 100, 0.1 %", Service{Requests: 100, Rate: 0.001}, release(2, 0)},
		{"5 times, 100, 0.1 %", Service{Requests: 100, Rate: 0.001}, release(5, 0)},
		{"5 times, 10, 0.1 %", Service{Requests: 10, Rate: 0.001}, release(5, 0)},
		{"20 times, 10, 0.1 %", Service{Requests: 10, Rate: 0.001}, release(20, 0)},
		{"half of the requests fail, 100, 0.1 %", Service{Requests: 100, Rate: 0.001}, release(1, 0.5)},
		{"twice, 1000, 0.1 %", Service{Requests: 1000, Rate: 0.001}, release(2, 0)},
	}
}
