// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"cmp"
	"maps"
	"slices"
)

// resetSince reports whether a process has begun again, since a counter is lower, or whether more failed
// than there were requests. Buckets are not asked: those of native histograms are
// interpolated, and fall a little when the histogram gets coarser.
func (c *counters) resetSince(was *counters) resetKind {
	fell := isLower(c.requests, was.requests) || isLower(c.errors, was.errors) || isLower(c.timed, was.timed)
	switch {
	case !fell && isLower(c.requests+was.errors, c.errors+was.requests):
		return tooManyErrors
	case !fell:
		return noReset
	case c.requests > was.requests/2, c.timed > was.timed/2:
		return mayBeReset
	default:
		return wasReset
	}
}

// isLower passes over what interpolation rounds.
func isLower(now, was float64) bool { return now < was-1e-6-1e-9*was }

func (c *counters) isZero() bool { return c.requests == 0 && c.errors == 0 && c.timed == 0 }

// increaseSince is what was counted since was. A bucket that was not there had counted nothing,
// if the others were. A histogram that nobody read while there were requests may have counted all of them, and counts from the
// next window on.
func (c *counters) increaseSince(was *counters) *counters {
	grown := &counters{
		requests: max(0, c.requests-was.requests), errors: max(0, c.errors-was.errors), timed: max(0, c.timed-was.timed),
		scraped: c.scraped,
	}
	if was.buckets == nil && was.timed == 0 && was.requests > 0 {
		grown.timed = 0
		return grown
	}
	if c.buckets != nil && (was.buckets != nil || was.timed == 0) {
		grown.buckets = make(map[float64]float64, len(c.buckets))
		for bound, value := range c.buckets {
			if before, ok := was.buckets[bound]; ok || was.timed == 0 {
				grown.buckets[bound] = value - before
			}
		}
	}
	return grown
}

// chooseBounds finds the bounds that all histograms have, or leaves those aside that have
// not the wanted ones.
func (w *incrementsBuilder) chooseBounds() {
	if len(w.options.Bounds) > 0 {
		w.Bounds = w.options.Bounds
		for _, u := range sorted(w.increase) {
			if c := w.increase[u]; c.timed > 0 && !c.hasBounds(w.Bounds) {
				w.remark(u, Unlike)
				c.timed, c.buckets = 0, nil
			}
		}
		return
	}
	var common map[float64]struct{}
	for u, grown := range w.increase {
		c := w.after[u]
		if c.timed == 0 && c.buckets == nil {
			continue // it says nothing about durations
		}
		if common == nil {
			common = map[float64]struct{}{}
			for bound := range c.buckets {
				common[bound] = struct{}{}
			}
		}
		maps.DeleteFunc(common, func(bound float64, _ struct{}) bool {
			_, atEnd := c.buckets[bound]
			_, counted := grown.buckets[bound] // not if the histogram had no such bound at the beginning
			return !atEnd || grown.timed > 0 && !counted
		})
	}
	w.Bounds = thinOut(slices.Sorted(maps.Keys(common)))
}

// maxBounds is how many bounds of a histogram are compared: the evidence about each has to fit into a status, and the more
// there are, the less each of them counts.
const maxBounds = 64

// thinOut leaves out bounds, evenly, until there are no more than [maxBounds].
func thinOut(bounds []float64) []float64 {
	if len(bounds) <= maxBounds {
		return bounds
	}
	kept := make([]float64, maxBounds)
	for i := range kept {
		kept[i] = bounds[i*(len(bounds)-1)/(maxBounds-1)]
	}
	return kept
}

func (c *counters) hasBounds(bounds []float64) bool {
	return !slices.ContainsFunc(bounds, func(b float64) bool { _, ok := c.buckets[b]; return !ok })
}

func (c *Counts) add(increase *counters, bounds []float64) {
	c.Requests += increase.requests
	c.Errors += min(increase.errors, increase.requests)
	c.Timed += increase.timed
	for i, bound := range bounds {
		c.Slower[i] += min(max(0, increase.timed-increase.buckets[bound]), increase.timed)
	}
}

func (u unit) compare(o unit) int {
	return cmp.Or(cmp.Compare(u.arm, o.arm), cmp.Compare(u.pod, o.pod), cmp.Compare(u.instance, o.instance))
}
