// SPDX-License-Identifier: Apache-2.0

package judge

import "math"

// Dispersion measures how much more events vary between two halves of the primary
// than they would if each happened by itself: a client in trouble sends ten bad
// requests in a row, and a pod in trouble answers all of its requests badly. Both halves
// run the same revision for the same users at the same time, so what they share (a
// busy hour, an outage) cancels. The zero value has seen nothing.
type Dispersion struct {
	// Windows is the number of windows with events, Sum that of their z², and Variance
	// what the variance of Sum would be if events were independent.
	Windows, Sum, Variance float64
	// Most is the largest number of events that a window had, of as many windows as Noted says: those that an
	// earlier version added are not among them.
	Most, Noted float64
}

// Add returns the dispersion together with a window in which the primary was split
// into two halves. With e events in both, and the share s of the exposure that the first half had,
// y of them in the first one have the mean e·s and the variance v = e·s·(1-s);
// z² = (y-e·s)²/v has the mean 1 and the variance 2 + (1-6·s·(1-s))/v if events are
// independent (the kurtosis of the binomial distribution).
//
// A single event cannot come together with another one: z² is 1 on average however events come, and counts as that.
func (d Dispersion) Add(first, second Count) Dispersion {
	w := Window{Canary: first, Primary: second}
	events, s := first.Events+second.Events, w.share()
	if w.Check() != nil || informative(events, s) == 0 {
		return d
	}
	sum := Dispersion{Windows: d.Windows + 1, Sum: d.Sum, Variance: d.Variance, Most: max(d.Most, events), Noted: d.Noted + 1}
	z, v := first.Events-events*s, events*s*(1-s)
	square, variance := z*z/v, max(0, 2+(1-6*s*(1-s))/v)
	if events <= 1 {
		square, variance = 1, 0
	}
	sum.Sum, sum.Variance = sum.Sum+square, sum.Variance+variance
	return sum
}

// Factor is what evidence is to be divided by: an upper estimate of the mean of z²,
// three standard errors above what was seen, and at least 1. Bursts of
// unequal sizes have longer tails than a factor can tell, which is why it is three. It is no more than the most events
// that a window had, since no more can have come together: a few windows have a standard error that says nothing. That
// bound holds once it has been noted of half of the windows. Without windows it is 1.
func (d Dispersion) Factor() float64 {
	if d.Windows == 0 {
		return 1
	}
	factor := d.Sum / d.Windows * (1 + 3*math.Sqrt(d.Variance)/d.Windows)
	if d.Most > 0 && d.Noted >= d.Windows/2 {
		factor = min(factor, d.Most)
	}
	return max(1, factor)
}

// Fade is the dispersion in which all windows so far count for half. Most is what a window had, however long ago.
func (d Dispersion) Fade() Dispersion {
	return Dispersion{Windows: d.Windows / 2, Sum: d.Sum / 2, Variance: d.Variance / 2, Most: d.Most, Noted: d.Noted / 2}
}
