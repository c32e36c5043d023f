// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Cursor makes windows of a stream of readings, each of which begins where the one
// before ended. The zero value is at the beginning. A Cursor is a value: after an error the one
// from before is still good. It holds the last few scrapes of each process.
//
// Windows end when a canary was scraped. What others had counted by then lies on a straight
// line between their scrapes before and after, so that a window takes as long as it takes until all
// were scraped once more. A shared outage begins somewhere between two scrapes of the primary: the line then
// tells more of its errors than there were, and never fewer than the canary's exact count is
// to be compared with. Where all are scraped at once, or each process counts both arms as
// gateways do, a window ends with the reading.
//
// After a restart, add the reading at [Increments].To of the last window, and then those that come
// after it: the windows are the same as without, as long as readings come as often as scrapes.
type Cursor struct {
	from, last time.Time
	source     string
	counters   map[unit]*counters // at from
	scrapes    map[unit][]*counters
}

// maxScrapes bounds what is held for a process whose peers are waited for.
const maxScrapes = 32

// Add takes the next reading. ok is false if no window ends with it: it is among the first, or
// some process was not scraped since the last window. Readings may come as often as one likes; it is
// scrapes that make windows.
func (c Cursor) Add(r Reading, o Options) (next Cursor, window Increments, ok bool, err error) {
	units, err := r.units()
	switch {
	case err != nil:
		return c, Increments{}, false, err
	case !r.At.After(c.last):
		return c, Increments{}, false, fmt.Errorf("a reading is of %s, and the one before of %s, which is not earlier",
			r.At.Format(time.RFC3339Nano), c.last.Format(time.RFC3339Nano))
	}
	if r.Source != c.source { // what was counted so far is no part of these counters
		c = Cursor{}
	}
	next = Cursor{from: c.from, last: r.At, source: r.Source, counters: c.counters, scrapes: c.withReading(units, r.At)}
	end, at, together := r.At, units, countBothArms(units)
	switch {
	case !together && !scrapedTogether(units):
		if end, ok = next.windowEnd(o); !ok {
			return next, Increments{}, false, nil
		}
		at = next.countersAt(end)
	case !c.hasNews(units, r.At, o):
		return next, Increments{}, false, nil
	}
	next.from, next.counters = end, at
	next.dropBefore(end)
	if c.counters == nil {
		return next, Increments{}, false, nil
	}
	window, err = between(countersAt{c.from, c.counters}, countersAt{end, at}, o)
	if err != nil {
		return c, Increments{}, false, err
	}
	window.Skewed = !together && hasUndated(r)
	if oldest := c.oldestScrape(o); oldest.Before(window.From) {
		window.Since = oldest
	}
	return next, window, true, nil
}

// From is when the next window begins; zero if that is not known yet.
func (c Cursor) From() time.Time { return c.from }

// Knows reports whether the last window that ended has a process of a pod.
func (c Cursor) Knows(pod string) bool {
	for u := range c.counters {
		if u.pod == pod {
			return true
		}
	}
	return c.counters == nil
}

// Last is the time of the last reading: the next one has to be later.
func (c Cursor) Last() time.Time { return c.last }

// hasNews reports whether a reading says anything that the beginning of the window does not: somebody was scraped
// since, has come or gone, or nobody tells.
func (c Cursor) hasNews(units map[unit]*counters, now time.Time, o Options) bool {
	if c.counters == nil || len(units) != len(c.counters) {
		return true
	}
	for u, newest := range units {
		was := c.counters[u]
		if was == nil || newest.scraped.IsZero() || newest.scraped.After(was.scraped) || o.stale(newest.scraped, now) {
			return true
		}
	}
	return false
}

// withReading returns the scrapes together with those of a reading; processes that it has not are gone.
func (c Cursor) withReading(units map[unit]*counters, now time.Time) map[unit][]*counters {
	all := make(map[unit][]*counters, len(units))
	for u, newest := range units {
		if newest.scraped.IsZero() {
			newest = newest.withTime(now)
		}
		past := slices.Clone(c.scrapes[u])
		if len(past) == maxScrapes {
			past = slices.Delete(past, 1, 2)
		}
		if len(past) == 0 || newest.scraped.After(past[len(past)-1].scraped) {
			past = append(past, newest)
		}
		all[u] = past
	}
	return all
}

// windowEnd is the newest scrape of a canary up to which all processes are known; for the first
// window it is the oldest. Without a canary it is one of the primary's.
func (c Cursor) windowEnd(o Options) (time.Time, bool) {
	candidates := c.scrapeTimes(Canary, o)
	if len(candidates) == 0 {
		candidates = c.scrapeTimes(Primary, o)
	}
	if len(candidates) == 0 {
		return c.last, true // nobody is alive
	}
	slices.SortFunc(candidates, time.Time.Compare)
	if c.counters != nil {
		slices.Reverse(candidates)
	}
	for _, t := range candidates {
		if t.After(c.from) && c.allScrapedSince(t, o) {
			return t, true
		}
	}
	return time.Time{}, false
}

func (c Cursor) scrapeTimes(arm Arm, o Options) []time.Time {
	var out []time.Time
	for u, past := range c.scrapes {
		if u.arm != arm || o.stale(past[len(past)-1].scraped, c.last) {
			continue
		}
		for _, scrape := range past {
			out = append(out, scrape.scraped)
		}
	}
	return out
}

// allScrapedSince reports whether all that is alive was scraped at t or later.
func (c Cursor) allScrapedSince(t time.Time, o Options) bool {
	for _, past := range c.scrapes {
		newest := past[len(past)-1].scraped
		if newest.Before(t) && !o.stale(newest, c.last) {
			return false
		}
	}
	return true
}

// countersAt is what each process had counted at t. One that was first scraped later is not there.
func (c Cursor) countersAt(t time.Time) map[unit]*counters {
	units := make(map[unit]*counters, len(c.scrapes))
	for u, past := range c.scrapes {
		after := slices.IndexFunc(past, func(s *counters) bool { return !s.scraped.Before(t) })
		switch {
		case after < 0:
			units[u] = past[len(past)-1]
		case past[after].scraped.Equal(t):
			units[u] = past[after]
		case after > 0:
			units[u] = past[after-1].interpolate(past[after], t)
		}
	}
	return units
}

// dropBefore drops the scrapes that no later window needs.
func (c Cursor) dropBefore(end time.Time) {
	for u, past := range c.scrapes {
		needed := 0
		for i, scrape := range past {
			if !scrape.scraped.After(end) {
				needed = i
			}
		}
		c.scrapes[u] = past[needed:]
	}
}

// skewAllowed is how far apart scrapes may be that count as one.
const skewAllowed = time.Second

// undatedFor is how long ago a process may have been scraped of which nobody says when: Prometheus
// scrapes every minute unless it is told otherwise.
const undatedFor = time.Minute

// oldestScrape is when the counters at the beginning of the window are from, or some of them.
func (c Cursor) oldestScrape(o Options) time.Time {
	oldest := c.from
	for _, at := range c.counters {
		scraped := at.scraped
		if scraped.IsZero() {
			scraped = c.from.Add(-undatedFor)
		}
		if scraped.Before(oldest) && !o.stale(scraped, c.from) {
			oldest = scraped
		}
	}
	return oldest
}

// countBothArms reports whether each process counts both arms, as gateways do.
func countBothArms(units map[unit]*counters) bool {
	for u := range units {
		if units[u.other()] == nil {
			return false
		}
	}
	return true
}

// hasUndated reports whether nobody says when some process was scraped.
func hasUndated(r Reading) bool {
	dated := map[process]bool{}
	for _, s := range r.Samples {
		of := process{s.Pod, s.Instance}
		dated[of] = dated[of] || !s.Scraped.IsZero()
	}
	return slices.Contains(slices.Collect(maps.Values(dated)), false)
}

// scrapedTogether reports whether all processes of a reading were scraped at once.
func scrapedTogether(units map[unit]*counters) bool {
	var first, last time.Time
	for _, c := range units {
		if c.scraped.IsZero() {
			continue
		}
		if first.IsZero() || c.scraped.Before(first) {
			first = c.scraped
		}
		if c.scraped.After(last) {
			last = c.scraped
		}
	}
	return last.Sub(first) <= skewAllowed
}

// withTime is the same at another time.
func (c *counters) withTime(t time.Time) *counters {
	moved := *c
	moved.scraped = t
	return &moved
}

// interpolate is what a process had counted at t, between two scrapes. Of one that began again in
// between nobody knows more than the first.
func (c *counters) interpolate(next *counters, t time.Time) *counters {
	if next.resetSince(c) != noReset {
		return c
	}
	part := float64(t.Sub(c.scraped)) / float64(next.scraped.Sub(c.scraped))
	between := func(a, b float64) float64 { return a + part*max(0, b-a) }
	mid := &counters{
		requests: between(c.requests, next.requests), errors: between(c.errors, next.errors), timed: between(c.timed, next.timed),
		scraped: t, buckets: maps.Clone(c.buckets),
	}
	for bound, value := range mid.buckets {
		mid.buckets[bound] = between(value, next.buckets[bound])
	}
	return mid
}
