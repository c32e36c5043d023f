// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"math"
	"testing"

	"github.com/sluice-cd/sluice/canary/judge"
)

// The values were computed from the formulas of the doc comments by another program.
func TestEvidenceHasTheValuesThatTheFormulasGive(t *testing.T) {
	never, nothing := math.Inf(1), math.NaN()
	type values struct{ fail, pass, below, ratio, least, most float64 }
	for name, tc := range map[string]struct {
		windows    []judge.Window
		dispersion float64
		want       values
	}{
		"five errors of a tenth of the users, two of the rest": {
			[]judge.Window{window(5, 1000, 2, 9000)}, 1, values{6.711, -1.975, -4.313, 22.5, 1.533, never}},
		"that come three at once": {
			[]judge.Window{window(5, 1000, 2, 9000)}, 3, values{2.049, -1.084, -1.976, 22.5, 0, never}},
		"two windows": {
			[]judge.Window{window(5, 400, 2, 3600), window(3, 600, 1, 5400)}, 1, values{11.295, -2.336, -6.430, 24, 2.977, never}},
		"two windows of errors that come three at once": {
			[]judge.Window{window(5, 400, 2, 3600), window(3, 600, 1, 5400)}, 3, values{3.471, -1.463, -2.884, 24, 0.471, never}},
		"errors of the primary alone": {
			[]judge.Window{window(0, 1000, 20, 9000)}, 1, values{-2.408, 2.628, 0.780, 0, 0, 2.522}},
		"that come together, too": {
			[]judge.Window{window(0, 1000, 20, 9000)}, 3, values{-1.585, 0.796, 0.257, 0, 0, 8.058}},
		"three errors of the primary alone": {
			[]judge.Window{window(0, 1000, 3, 9000)}, 1, values{-1.079, 0.346, 0.780, 0, 0, 21.809}},
		"as good as the primary": {
			[]judge.Window{window(100, 1000, 900, 9000)}, 1, values{-3.542, 23.891, -70.251, 1, 0.617, 1.393}},
		"all requests fail, and one of the primary's": {
			[]judge.Window{window(1000, 1000, 1, 9000)}, 1, values{2132.118, -3.178, -694.533, 9000, 42.355, never}},
		"errors of a primary in trouble": {
			[]judge.Window{window(0, 1000, 100_000, 9000)}, 1, values{-998.211, 17323.994, 0.780, 0, 0, 0.274}},
		"no errors compare nothing": {
			[]judge.Window{window(0, 1000, 0, 9000)}, 1, values{0, 0, 0.780, nothing, 0, never}},
		"a window without primary compares nothing": {
			[]judge.Window{window(9, 1000, 0, 0)}, 1, values{0, 0, -7.126, nothing, 0, never}},
		"a window without canary compares nothing": {
			[]judge.Window{window(0, 0, 9, 1000)}, 1, values{0, 0, 0, nothing, 0, never}},
	} {
		t.Run(name, func(t *testing.T) {
			e := judge.NewEvidence(1, 2)
			for _, w := range tc.windows {
				var err error
				if e, err = e.Add(w, tc.dispersion); err != nil {
					t.Fatal(err)
				}
			}
			for of, v := range map[string]struct{ got, want float64 }{
				"LogFail":        {e.LogFail(), tc.want.fail},
				"LogPass":        {e.LogPass(), tc.want.pass},
				"LogBelow(0.1%)": {e.LogBelow(0.001), tc.want.below},
				"Ratio":          {e.Ratio(), tc.want.ratio},
				"AtLeast(99 %)":  {e.AtLeast(0.01), tc.want.least},
				"AtMost(95 %)":   {e.AtMost(0.05), tc.want.most},
			} {
				if !near(v.got, v.want, 5e-4) {
					t.Errorf("%s is %.4f, want %.3f", of, v.got, v.want)
				}
			}
		})
	}
}

// near reports whether two numbers are apart by no more than a tolerance, both are the same infinity,
// or neither is a number.
func near(a, b, tolerance float64) bool {
	return a == b || math.Abs(a-b) <= tolerance || math.IsNaN(a) && math.IsNaN(b)
}

// The tests for Fail and for Pass bet on other risks where some regression is tolerated.
func TestEvidenceOfACanaryThatMayBeAQuarterWorse(t *testing.T) {
	e, err := judge.NewEvidence(1.25, 3).Add(window(60, 1000, 100, 9000), 1)
	if err != nil {
		t.Fatal(err)
	}
	for of, v := range map[string]struct{ got, want float64 }{
		"LogFail": {e.LogFail(), 31.130}, "LogPass": {e.LogPass(), -3.026}, "AtLeast(99 %)": {e.AtLeast(0.01), 2.741},
	} {
		if !near(v.got, v.want, 5e-4) {
			t.Errorf("%s is %.4f, want %.3f", of, v.got, v.want)
		}
	}
}

// How many more events a verdict takes: as many as the mean growth of the e-value of each, and the way that is
// left, come to.
func TestHowManyMoreEventsAVerdictNeeds(t *testing.T) {
	never := math.Inf(1)
	for name, tc := range map[string]struct {
		windows    []judge.Window
		kind       judge.Kind
		dispersion float64
		negligible float64
		want       float64
	}{
		"to fail, of a canary that looks worse":          {[]judge.Window{window(1, 1000, 3, 9000)}, judge.Errors, 1, 0.001, 73.546},
		"of errors that come three at once":              {[]judge.Window{window(1, 1000, 3, 9000)}, judge.Errors, 3, 0.001, 219.010},
		"to fail, of one that is nearer to a regression": {[]judge.Window{window(14, 1000, 90, 9000)}, judge.Errors, 1, 0.001, 744.179},
		"to pass, of one that is nearer to none":         {[]judge.Window{window(13, 1000, 90, 9000)}, judge.Errors, 1, 0.001, 493.764},
		"to pass, of a canary that looks as good":        {[]judge.Window{window(2, 1000, 20, 9000)}, judge.Errors, 1, 0.001, 160.898},
		"to pass, of errors that come three at once":     {[]judge.Window{window(2, 1000, 20, 9000)}, judge.Errors, 3, 0.001, 509.018},
		"of the canary alone":                            {[]judge.Window{window(2, 1000, 0, 9000)}, judge.Errors, 1, 0.001, 2.141},
		"of the primary alone":                           {[]judge.Window{window(0, 1000, 3, 9000)}, judge.Errors, 1, 0.001, 45.642},
		"of the primary alone, if none is negligible":    {[]judge.Window{window(0, 1000, 3, 9000)}, judge.Errors, 1, 0, 39.721},
		"where some happened while there was no primary": {
			[]judge.Window{window(2, 1000, 10, 9000), window(7, 1000, 0, 0)}, judge.Errors, 1, 0.001, 364.363,
		},
		"requests of the canary, if there are no errors": {[]judge.Window{window(0, 1000, 0, 9000)}, judge.Errors, 1, 0.001, 3687.955},
		"requests, if errors come three at once":         {[]judge.Window{window(0, 1000, 0, 9000)}, judge.Errors, 3, 0.001, 4245.185},
		"never without errors, if none is negligible":    {[]judge.Window{window(0, 1000, 0, 9000)}, judge.Errors, 1, 0, never},
		"requests of both arms, of a throughput":         {[]judge.Window{window(60, 380, 700, 3420)}, judge.Throughput, 1, 0.001, 370.779},
	} {
		t.Run(name, func(t *testing.T) {
			settings := judge.Default()
			settings.Negligible, settings.MinSamples = tc.negligible, 0
			series := settings.NewSeries("metric", tc.kind)
			for _, w := range tc.windows {
				var err error
				if series, err = series.Add(tc.dispersion, w); err != nil {
					t.Fatal(err)
				}
			}
			verdict := settings.Judge(judge.SequentialTest{Series: []judge.Series{series}, Split: judge.NewSplit()})
			if got := verdict.Findings[0].Needs; verdict.Outcome != judge.Undecided || !near(got, tc.want, 1e-3) {
				t.Errorf("%s, needs %.4f, want %.3f", verdict.Outcome, got, tc.want)
			}
		})
	}
}
