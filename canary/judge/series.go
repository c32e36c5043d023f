// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"math"
)

// Kind is what a metric counts, and which direction is worse.
type Kind string

const (
	// Errors counts failed requests among all of them; more is worse.
	Errors Kind = "errors"
	// Latency counts, for each bound of a histogram, the requests that took longer; more
	// is worse.
	Latency Kind = "latency"
	// Throughput counts requests; their exposure is the weight of an arm multiplied by
	// seconds. Less is worse.
	Throughput Kind = "throughput"
)

// Series is the evidence about one metric of a release.
type Series struct {
	Name string
	Kind Kind
	// Bounds has one entry, or for a latency one for each bound of the histogram.
	Bounds []Bound
	// PassBound is the index of the bound that Pass is about; Fail watches all of them. It has to
	// be chosen before the release, say as the largest bound that one in a hundred requests of the primary
	// exceeds: a bound that hardly any request exceeds takes for ever to pass.
	PassBound int
}

// Bound is the evidence about the requests that took longer than a bound of the
// histogram, or about all events of a metric that has no histogram.
type Bound struct {
	// Over is the bound as it is shown to people, such as 250ms; empty without histogram.
	Over     string
	Evidence Evidence
}

// NewSeries returns a series without windows. over are the bounds of a latency.
func (s Settings) NewSeries(name string, kind Kind, over ...string) Series {
	series := Series{Name: name, Kind: kind}
	if len(over) == 0 {
		over = []string{""}
	}
	for _, o := range over {
		series.Bounds = append(series.Bounds, Bound{Over: o, Evidence: NewEvidence(s.Tolerated, s.Regression)})
	}
	return series
}

// Add returns the series with what happened in one window, a [Window] for each bound.
func (s Series) Add(dispersion float64, windows ...Window) (Series, error) {
	if len(windows) != len(s.Bounds) {
		return s, fmt.Errorf("metric %s has %d bounds, and the window has %d", s.Name, len(s.Bounds), len(windows))
	}
	sum := s
	sum.Bounds = make([]Bound, len(s.Bounds))
	for i, b := range s.Bounds {
		w := windows[i]
		if s.Kind == Throughput {
			w = w.swapped()
		}
		evidence, err := b.Evidence.Add(w, dispersion)
		if err != nil {
			return s, fmt.Errorf("metric %s: %w", s.Name, err)
		}
		sum.Bounds[i] = Bound{Over: b.Over, Evidence: evidence}
	}
	return sum, nil
}

// LogFail returns the logarithm of the e-value against "the canary is no worse at any bound": the
// mean over the bounds, which holds however they depend on each other (Vovk and Wang
// 2021, proposition 3.1).
func (s Series) LogFail() float64 {
	logs := make([]float64, len(s.Bounds))
	for i, b := range s.Bounds {
		logs[i] = b.Evidence.LogFail()
	}
	return logMeanExp(logs)
}

// LogPass returns the logarithm of the e-value against "the canary is regression times as bad, or
// worse", at the bound that Pass is about.
func (s Series) LogPass() float64 { return s.Bounds[s.PassBound].Evidence.LogPass() }

// LogPass returns the logarithm of the e-value against "the canary is a regression, and what it does is not
// negligible". Where something is negligible it is the mean of two, each of which is one against this.
func (s Settings) LogPass(series Series) float64 {
	if !s.neglects(series.Kind) {
		return series.LogPass()
	}
	return logMeanExp([]float64{series.LogPass(), series.Bounds[series.PassBound].Evidence.LogBelow(s.Negligible)})
}

// neglects reports whether there is anything negligible about a kind of metric: requests are no events that
// some of them have.
func (s Settings) neglects(k Kind) bool { return s.Negligible > 0 && k != Throughput }

// worst returns the bound that speaks most against the canary.
func (s Series) worst() Bound {
	worst, log := s.Bounds[0], math.Inf(-1)
	for _, b := range s.Bounds {
		if l := b.Evidence.LogFail(); l > log {
			worst, log = b, l
		}
	}
	return worst
}

// samples is the number that MinSamples is about: of the requests of the canary or, for a throughput, of those that it should
// have had, since one that gets none at all is what that looks for.
func (s Series) samples() float64 {
	if s.Kind == Throughput {
		e := s.Bounds[0].Evidence // swapped
		return e.canary.Events + e.primary.Events - e.expected()
	}
	return s.requests()
}

// requests returns how many requests of the canary a series is about.
func (s Series) requests() float64 {
	if s.Kind == Throughput {
		return s.Bounds[0].Evidence.Primary().Events // swapped: these are the canary's
	}
	return s.Bounds[0].Evidence.Canary().Exposure
}
