// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"time"
)

// skewAllowed is how far apart scrapes may be that count as one.
const skewAllowed = time.Second

// aligned reports whether the arms of a reading are about the same time: all processes were
// scraped at once, or each of them counts both arms, as gateways do.
func aligned(units map[unit]*counters) bool {
	var first, last time.Time
	both := true
	for u, c := range units {
		both = both && units[u.other()] != nil
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
	return both || last.Sub(first) <= skewAllowed
}

// align returns what the counters of a reading were at exactly its time, by a straight
// line between the scrape before and the one after, which next has. waiting are the processes
// that have not been scraped since, whose counters stay as they are: next has to be later.
// Processes whose scrape is not known, that began again, or that are gone in next, stay, too.
func align(r, next Reading, o Options) (at Reading, waiting []string, err error) {
	now, err := r.units()
	if err != nil {
		return Reading{}, nil, err
	}
	later, err := next.units()
	if err != nil {
		return Reading{}, nil, err
	}
	parts := map[unit]float64{} // of the way from one scrape to the other
	for _, u := range sorted(now) {
		c, then := now[u], later[u]
		switch {
		case c.scraped.IsZero(), !c.scraped.Before(r.At), then == nil, o.stale(c.scraped, next.At):
		case !then.scraped.After(r.At):
			waiting = append(waiting, u.String())
		case !then.began(c):
			parts[u] = float64(r.At.Sub(c.scraped)) / float64(then.scraped.Sub(c.scraped))
		}
	}
	at = Reading{At: r.At, Samples: make([]Sample, 0, len(r.Samples))}
	for _, s := range r.Samples {
		u := unit{s.Arm, process{s.Pod, s.Instance}}
		if part, ok := parts[u]; ok {
			s.Value += part * (later[u].value(s) - s.Value)
			s.Scraped = r.At
		}
		at.Samples = append(at.Samples, s)
	}
	return at, waiting, nil
}

// value is that of the counter which a sample is of; one that is gone has not moved.
func (c *counters) value(s Sample) float64 {
	switch s.Class {
	case Requests:
		return c.requests
	case Errors:
		return max(c.errors, s.Value)
	case Timed:
		return max(c.timed, s.Value)
	default:
		return max(c.buckets[s.Over], s.Value)
	}
}

// Cursor makes windows of a stream of readings, each of which begins where the one
// before ended. The zero value is at the beginning; a Cursor is a value, so that the one of
// before a failure is still there. Its readings are a few hundred bytes for each counter.
//
// After a restart, add the reading at [Increments].To of the last window, and then those at the
// times that come after it: the windows are the same as without.
type Cursor struct {
	from, open *Reading
}

// Add takes the next reading. ok is false if no window ends with it: it is the first, or
// some process was not scraped since the one before. Readings may come as often as one likes; it is
// scrapes that make windows.
func (c Cursor) Add(r Reading, o Options) (next Cursor, window Increments, ok bool, err error) {
	units, err := r.units()
	if err != nil {
		return c, Increments{}, false, err
	}
	end, next := r, Cursor{from: &r}
	if !aligned(units) {
		if c.open == nil {
			return Cursor{from: c.from, open: &r}, Increments{}, false, nil
		}
		at, waiting, err := align(*c.open, r, o)
		if err != nil || len(waiting) > 0 {
			return c, Increments{}, false, err
		}
		end, next = at, Cursor{from: &at, open: &r}
	}
	if c.from == nil {
		return next, Increments{}, false, nil
	}
	window, err = Between(*c.from, end, o)
	if err != nil {
		return c, Increments{}, false, err
	}
	return next, window, true, nil
}

// From is when the next window begins; zero if that is not known yet.
func (c Cursor) From() time.Time {
	if c.from == nil {
		return time.Time{}
	}
	return c.from.At
}
