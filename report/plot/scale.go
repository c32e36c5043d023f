// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"math"
	"strconv"
	"time"
)

// scale places values between two ends of an area, of which from is that of the least.
type scale struct {
	min, max float64
	log      bool
	from, to float64
}

// scale finds what an axis shows.
func (a Axis) scale(values []float64, from, to float64) scale {
	s := scale{min: math.Inf(1), max: math.Inf(-1), log: a.Log, from: from, to: to}
	for _, v := range values {
		if s.shows(v) {
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
	}
	if a.Min < a.Max {
		s.min, s.max = a.Min, a.Max
	}
	switch {
	case s.min > s.max && s.log:
		s.min, s.max = 1, 10
	case s.min > s.max:
		s.min, s.max = 0, 1
	case s.min == s.max && s.log:
		s.min, s.max = s.min/2, s.max*2
	case s.min == s.max:
		s.min, s.max = s.min-0.5, s.max+0.5
	}
	return s
}

func (s scale) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!s.log || v > 0)
}

// place returns where a value is. Values beyond the ends are at the ends.
func (s scale) place(v float64) (float64, bool) {
	if math.IsInf(v, 1) {
		v = s.max
	}
	if !s.shows(v) {
		return 0, false
	}
	v = min(max(v, s.min), s.max)
	part := (v - s.min) / (s.max - s.min)
	if s.log {
		part = math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return s.from + part*(s.to-s.from), true
}

// seconds are the steps between two ticks of a time.
var seconds = []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400}

// ticks are about n values that are easy to read.
func (s scale) ticks(u Unit, n int) []float64 {
	if s.log {
		return s.logTicks(u)
	}
	step := niceStep((s.max - s.min) / float64(n))
	if u == Duration {
		for _, step = range seconds {
			if (s.max-s.min)/step <= float64(n) {
				break
			}
		}
		if (s.max-s.min)/step > float64(n) {
			step *= math.Ceil((s.max - s.min) / step / float64(n))
		}
	}
	var ticks []float64
	for i := math.Ceil(s.min/step - 1e-9); i*step <= s.max*(1+1e-9) && len(ticks) < 50; i++ {
		ticks = append(ticks, i*step+0) // no -0
	}
	return ticks
}

// logTicks are powers of ten, and of a small range also what is between them; of a time those that
// people know.
func (s scale) logTicks(u Unit) []float64 {
	var ticks []float64
	keep := func(v float64) {
		if v >= s.min*(1-1e-9) && v <= s.max*(1+1e-9) {
			ticks = append(ticks, v)
		}
	}
	if u == Duration {
		for _, v := range []float64{1, 10, 60, 600, 3600, 6 * 3600, 86400, 10 * 86400, 100 * 86400, 1000 * 86400} {
			keep(v)
		}
		return ticks
	}
	decades := math.Log10(s.max / s.min)
	every := math.Max(1, math.Ceil(decades/7))
	for e := math.Floor(math.Log10(s.min)); e <= math.Ceil(math.Log10(s.max)); e += every {
		keep(math.Pow(10, e))
		if decades <= 3 {
			keep(2 * math.Pow(10, e))
			keep(5 * math.Pow(10, e))
		}
	}
	return ticks
}

// niceStep is the next of 1, 2 and 5 and their multiples by powers of ten.
func niceStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 5} {
		if step <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// text writes a value of an axis.
func (u Unit) text(v float64) string {
	switch u {
	case Percent:
		return short(100*v) + " %"
	case Duration:
		return duration(v)
	default:
		return short(v)
	}
}

// short has six digits, and an exponent where people would write one.
func short(v float64) string {
	if a := math.Abs(v); a >= 1e6 || a > 0 && a < 1e-4 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)
}

// duration writes seconds as 45s, 5m, 1h30m or 2d.
func duration(v float64) string {
	d := time.Duration(math.Round(v)) * time.Second
	switch {
	case d == 0:
		return "0"
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	text := ""
	for _, unit := range []struct {
		lasts time.Duration
		name  string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.lasts; n > 0 {
			text, d = text+strconv.Itoa(int(n))+unit.name, d%unit.lasts
		}
	}
	return text
}
