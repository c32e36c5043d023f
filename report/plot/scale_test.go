// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"fmt"
	"math"
	"testing"
)

func TestTicks(t *testing.T) {
	const day = 86400
	for name, tc := range map[string]struct {
		s    scale
		unit Unit
		want string
	}{
		"numbers":                         {scale{min: 0.3, max: 1.2}, Number, "[0.4 0.6 0.8 1 1.2]"},
		"as many seconds as asked for":    {scale{min: 100, max: 108}, Duration, "[1m40s 1m41s 1m42s 1m43s 1m44s 1m45s 1m46s 1m47s 1m48s]"},
		"one more":                        {scale{min: 100, max: 109}, Duration, "[1m40s 1m42s 1m44s 1m46s 1m48s]"},
		"more days than asked for":        {scale{min: 100 * day, max: 120 * day}, Duration, "[102d 105d 108d 111d 114d 117d 120d]"},
		"three decades":                   {scale{min: 1, max: 1000, log: true}, Number, "[1 2 5 10 20 50 100 200 500 1000]"},
		"four decades":                    {scale{min: 1, max: 1e4, log: true}, Number, "[1 10 100 1000 10000]"},
		"fourteen decades":                {scale{min: 1, max: 1e14, log: true}, Number, "[1 100 10000 1e+06 1e+08 1e+10 1e+12 1e+14]"},
		"decades that are not full":       {scale{min: 0.5, max: 20, log: true}, Number, "[0.5 1 2 5 10 20]"},
		"times of a logarithmic axis":     {scale{min: 30, max: 2 * 3600, log: true}, Duration, "[1m 10m 1h]"},
		"times that begin and end at one": {scale{min: 60, max: 10 * day, log: true}, Duration, "[1m 10m 1h 6h 1d 10d]"},
	} {
		t.Run(name, func(t *testing.T) {
			var texts []string
			for _, v := range tc.s.ticks(tc.unit, 8) {
				texts = append(texts, tc.unit.text(v))
			}
			if got := fmt.Sprint(texts); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTextsOfValues(t *testing.T) {
	for want, got := range map[string]string{
		"0": Duration.text(0.4), "59s": Duration.text(59), "1m": Duration.text(59.6), "1h30m5s": Duration.text(5405),
		"23h": Duration.text(23 * 3600), "1d": Duration.text(24 * 3600), "25h": Duration.text(25 * 3600),
		"999999": Number.text(999999), "1e+06": Number.text(1e6), "-1e+06": Number.text(-1e6), "0.0001": Number.text(0.0001),
		"9e-05": Number.text(0.00009), "12.5 %": Percent.text(0.125), "0 %": Percent.text(0),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWhatAnAxisShows(t *testing.T) {
	for name, tc := range map[string]struct {
		axis     Axis
		values   []float64
		min, max float64
	}{
		"nothing":                          {Axis{}, nil, 0, 1},
		"nothing, by decades":              {Axis{Log: true}, []float64{0, -1}, 1, 10},
		"one value":                        {Axis{}, []float64{4}, 3.5, 4.5},
		"one value, by decades":            {Axis{Log: true}, []float64{4}, 2, 8},
		"all values but what are none":     {Axis{}, []float64{2, math.Inf(1), -1, math.NaN()}, -1, 2},
		"what it says":                     {Axis{Min: -5, Max: 5}, []float64{2, 3}, -5, 5},
		"not what has no end or beginning": {Axis{Min: 5, Max: 5}, []float64{2, 3}, 2, 3},
	} {
		if s := tc.axis.scale(tc.values, 0, 1); s.min != tc.min || s.max != tc.max {
			t.Errorf("%s: got %g to %g, want %g to %g", name, s.min, s.max, tc.min, tc.max)
		}
	}
	xs, ys := Panel{Bounds: []Bound{{At: 5}}, Marks: []Mark{{At: 7}}}.values()
	if got := fmt.Sprint(xs, ys); got != "[7] [5]" {
		t.Errorf("marks and bounds are in sight: %s", got)
	}
}

func TestTextsAndColoursThatAreNone(t *testing.T) {
	if got, want := escape("a\x1f \ufffe\uffff\ufffd😀<"), "a     😀&lt;"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []Colour{-1, Colour(len(colours))} {
		if got := c.class(); got != "grey" {
			t.Errorf("colour %d is %s", c, got)
		}
	}
}
