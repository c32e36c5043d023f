// SPDX-License-Identifier: Apache-2.0

// Package trial gathers what package judge decides by, from windows of the counters of both
// arms:
//
//	Baseline    windows before the release: how much errors and slow requests vary between two halves of the
//	            primary, and which durations are usual
//	Comparison  windows of the release: the evidence about errors, latency and throughput, and whether
//	            the arms get the shares of the requests that their weights say
//
// A trial, as sequential analysis calls it, is one comparison from its first window to its verdict:
// that of a release, or one of the primary with itself ([SelfTest]).
//
// Both are values, and sums over windows. The package computes; it has no clock, no client and
// no state of its own.
package trial

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// usual is the least share of the primary's requests that have to be slower than a bound of the
// histogram, for a release to pass by that bound: with fewer of them, a comparison would take too long.
const usual = 0.01

// Comparison is the evidence so far about one release, or of the primary with itself. [Baseline.Begin] begins one.
type Comparison struct {
	Test judge.SequentialTest

	settings judge.Settings
	baseline Baseline
	kinds    []judge.Kind
	bounds   []float64 // of the latency, in seconds, rising; none until a window has some
	all      bool      // metrics have to be there
}

// Begin returns the evidence of no windows about kinds of metrics: errors, latency or
// throughput. A latency is judged from the first window on that has a histogram, and not at all without one; see
// [Comparison.RequireAll].
func (b Baseline) Begin(s judge.Settings, kinds ...judge.Kind) Comparison {
	r := Comparison{settings: s, baseline: b, kinds: kinds, Test: judge.SequentialTest{Metrics: len(kinds), Split: judge.NewSplit()}}
	for _, kind := range kinds {
		if kind != judge.Latency {
			r.Test.Series = append(r.Test.Series, s.NewSeries(string(kind), kind))
		}
	}
	return r.withBounds(b.bounds)
}

// RequireAll is the same evidence, by which no release passes before each of its metrics was compared.
func (r Comparison) RequireAll() Comparison {
	r.all = true
	return r
}

// Outcome is what the judge decides by now.
func (r Comparison) Outcome() judge.Outcome {
	if outcome := r.settings.Outcome(r.Test); outcome != judge.Pass || !r.lacksLatency() {
		return outcome
	}
	return judge.Undecided
}

// Verdict is the same with its reasons.
func (r Comparison) Verdict() judge.Verdict {
	v := r.settings.Judge(r.Test)
	if v.Outcome = r.Outcome(); r.lacksLatency() {
		v.Findings = append(v.Findings, judge.Finding{Metric: string(judge.Latency), Outcome: judge.Undecided, Ratio: math.NaN(),
			AtMost: math.Inf(1), Needs: math.Inf(1), Text: "latency undecided: " + NoHistogram})
	}
	return v
}

// NoHistogram is why a latency cannot be compared.
const NoHistogram = "no histogram of both arms counts how long requests take"

// lacksLatency reports whether a metric is missing that has to be there.
func (r Comparison) lacksLatency() bool {
	return r.all && r.bounds == nil && slices.Contains(r.kinds, judge.Latency)
}

// Evidence returns the logarithms of the e-values against "no worse than is tolerated" and
// "a regression": the largest of all metrics, and the smallest.
func (r Comparison) Evidence() (fail, pass float64) {
	for i, s := range r.Test.Series {
		if i == 0 {
			fail, pass = math.Inf(-1), math.Inf(1)
		}
		fail, pass = max(fail, s.LogFail()), min(pass, r.settings.LogPass(s))
	}
	return fail, pass
}

// withBounds begins the latency, if it is judged and there is a histogram.
func (r Comparison) withBounds(bounds []float64) Comparison {
	if !slices.Contains(r.kinds, judge.Latency) || len(bounds) == 0 {
		return r
	}
	names := make([]string, len(bounds))
	for i, b := range bounds {
		names[i] = seconds(b).String()
	}
	latency := r.settings.NewSeries("latency", judge.Latency, names...)
	latency.PassBound = r.baseline.usualBound(bounds)
	r.Test.Series, r.bounds = append(slices.Clone(r.Test.Series), latency), bounds
	return r
}

// seconds is a bound as people read it; one that no duration has, of a histogram of something else, is the longest one.
func seconds(bound float64) time.Duration {
	if nanoseconds := bound * float64(time.Second); math.Abs(nanoseconds) < math.MaxInt64 {
		return time.Duration(nanoseconds)
	}
	return math.MaxInt64
}

// Add returns the evidence together with one more window. weight is the part of the users that the
// canary has, between 0 and 1; 0 if it is not known or was not the same all the time, and then nothing
// is said about throughput and shares.
func (r Comparison) Add(w counter.Increments, weight float64) (Comparison, error) {
	if r.bounds == nil {
		r = r.withBounds(w.Bounds)
	}
	sum := r
	sum.Test.Series = slices.Clone(r.Test.Series)
	sum.Test.Observed += w.To.Sub(w.From)
	if w.Skewed {
		weight = 0
	}
	var err error
	for i, s := range r.Test.Series {
		if sum.Test.Series[i], err = s.Add(r.baseline.dispersion(s.Kind), r.windows(s.Kind, w, weight)...); err != nil {
			return r, fmt.Errorf("the window until %s: %w", w.To.Format(time.RFC3339), err)
		}
	}
	if weight > 0 && weight < 1 && len(w.Missing) == 0 {
		if sum.Test.Split, err = r.Test.Split.Add(requests(w, weight), r.baseline.dispersion(judge.Throughput)); err != nil {
			return r, fmt.Errorf("the window until %s: %w", w.To.Format(time.RFC3339), err)
		}
	}
	return sum, nil
}

// windows are what a metric takes of a window: one for each bound.
func (r Comparison) windows(kind judge.Kind, w counter.Increments, weight float64) []judge.Window {
	switch kind {
	case judge.Latency:
		windows := make([]judge.Window, len(r.bounds))
		for i, bound := range r.bounds {
			if at := slices.Index(w.Bounds, bound); at >= 0 {
				windows[i] = judge.Window{Canary: slower(w.Canary, at), Primary: slower(w.Primary, at)}
			}
		}
		return windows
	case judge.Throughput:
		if weight <= 0 || weight >= 1 {
			return []judge.Window{{}}
		}
		return []judge.Window{requests(w, weight)}
	default:
		return []judge.Window{{Canary: failed(w.Canary), Primary: failed(w.Primary)}}
	}
}

func failed(c counter.Counts) judge.Count {
	return judge.Count{Events: c.Errors, Exposure: c.Requests}
}

func slower(c counter.Counts, at int) judge.Count {
	return judge.Count{Events: c.Slower[at], Exposure: c.Timed}
}

// requests are how many each arm got, and how much of weight and time it had for them.
func requests(w counter.Increments, weight float64) judge.Window {
	seconds := w.To.Sub(w.From).Seconds()
	return judge.Window{
		Canary:  judge.Count{Events: w.Canary.Requests, Exposure: weight * seconds},
		Primary: judge.Count{Events: w.Primary.Requests, Exposure: (1 - weight) * seconds},
	}
}
