// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// releaseText is a [Comparison] as it is kept.
type releaseText struct {
	Settings judge.Settings `json:"settings"`
	Kinds    []judge.Kind   `json:"kinds"`
	Bounds   []float64      `json:"bounds,omitempty"`
	Observed time.Duration  `json:"observed"`
	Split    judge.Split    `json:"split"`
	Series   []judge.Series `json:"series"`
}

// baselineText is a [Baseline] as it is kept.
type baselineText struct {
	Windows int                `json:"windows"`
	Seconds float64            `json:"seconds"`
	Primary counter.Counts     `json:"primary"`
	Errors  judge.Dispersion   `json:"errors"`
	Slow    []judge.Dispersion `json:"slow,omitempty"`
	Bounds  []float64          `json:"bounds,omitempty"`
}

// MarshalText returns all bits of the evidence as JSON: a kilobyte, and one for each bound of a histogram. The
// baseline is not part of it, and neither is [Comparison.RequireAll].
func (r Comparison) MarshalText() ([]byte, error) {
	return json.Marshal(releaseText{Settings: r.settings, Kinds: r.kinds, Bounds: r.bounds,
		Observed: r.Test.Observed, Split: r.Test.Split, Series: r.Test.Series})
}

// Restore reads what [Comparison.MarshalText] wrote, and goes on with it after this baseline. It refuses evidence that was
// gathered under other settings or about other metrics.
func (b Baseline) Restore(text []byte, s judge.Settings, kinds ...judge.Kind) (Comparison, error) {
	var kept releaseText
	if err := json.Unmarshal(text, &kept); err != nil {
		return Comparison{}, fmt.Errorf("reading evidence: %w", err)
	}
	if kept.Settings != s || !slices.Equal(kept.Kinds, kinds) {
		return Comparison{}, fmt.Errorf("reading evidence: it is about %v with %+v", kept.Kinds, kept.Settings)
	}
	r := Comparison{settings: s, baseline: b, kinds: kinds, bounds: kept.Bounds,
		Test: judge.SequentialTest{Series: kept.Series, Metrics: len(kinds), Split: kept.Split, Observed: kept.Observed}}
	for i, series := range kept.Series {
		bounds := 1
		if series.Kind == judge.Latency {
			bounds = len(kept.Bounds)
		}
		if !slices.Contains(kinds, series.Kind) || len(series.Bounds) != bounds ||
			series.PassBound < 0 || series.PassBound >= bounds {
			return Comparison{}, fmt.Errorf("reading evidence: metric %d, which is %s, has %d bounds", i, series.Kind, len(series.Bounds))
		}
	}
	return r, nil
}

// After is the same evidence, whose next windows count by another baseline. Windows that
// are judged must be no part of it.
func (r Comparison) After(b Baseline) Comparison {
	r.baseline = b
	return r
}

// Bounds are the bounds of the histograms, in seconds, rising; none until a window had some.
func (b Baseline) Bounds() []float64 { return b.bounds }

// MarshalText returns all bits of the baseline as JSON.
func (b Baseline) MarshalText() ([]byte, error) {
	return json.Marshal(baselineText{b.Windows, b.Seconds, b.Primary, b.errors, b.slow, b.bounds})
}

// UnmarshalText reads what [Baseline.MarshalText] wrote, and refuses anything that no windows lead to.
func (b *Baseline) UnmarshalText(text []byte) error {
	var kept baselineText
	if err := json.Unmarshal(text, &kept); err != nil {
		return fmt.Errorf("reading a baseline: %w", err)
	}
	n := len(kept.Bounds)
	if kept.Windows < 0 || !(kept.Seconds >= 0) || len(kept.Slow) != n || len(kept.Primary.Slower) != n || !slices.IsSorted(kept.Bounds) {
		return fmt.Errorf("reading a baseline: it has %d windows, %d bounds, %d dispersions and %d counts",
			kept.Windows, n, len(kept.Slow), len(kept.Primary.Slower))
	}
	for _, d := range append(slices.Clone(kept.Slow), kept.Errors) {
		if d.Windows < 0 || d.Sum < 0 || d.Variance < 0 || d.Most < 0 || d.Noted < 0 {
			return fmt.Errorf("reading a baseline: %+v is no dispersion", d)
		}
	}
	*b = Baseline{Windows: kept.Windows, Seconds: kept.Seconds, Primary: kept.Primary,
		errors: kept.Errors, slow: kept.Slow, bounds: kept.Bounds}
	return nil
}

// Fade is the baseline in which all windows so far count for half, so that what a service was
// like long ago is forgotten.
func (b Baseline) Fade() Baseline {
	half := b
	half.Windows, half.Seconds, half.errors = b.Windows/2, b.Seconds/2, b.errors.Fade()
	half.Primary = counter.Counts{Requests: b.Primary.Requests / 2, Errors: b.Primary.Errors / 2, Timed: b.Primary.Timed / 2}
	half.slow = slices.Clone(b.slow)
	for i, d := range half.slow {
		half.slow[i] = d.Fade()
		half.Primary.Slower = append(half.Primary.Slower, b.Primary.Slower[i]/2)
	}
	return half
}
