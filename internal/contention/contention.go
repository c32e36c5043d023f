// SPDX-License-Identifier: Apache-2.0

// Package contention recognises that somebody keeps undoing what a controller writes.
//
// Every watch of such an object starts a reconcile, so that two controllers that
// disagree would write as fast as they can. The first repairs are made at once, since
// most changes by hand happen once; from then on each one waits longer than the last:
//
//	repair, repair, repair --Repairs--> pause of First, 2x, 4x, ... up to Longest
//	   ^                                      |
//	   +------- nothing for a Window ---------+
//
// It is arithmetic over one object's [History], which its owner keeps, with what else
// is to be said about the object.
package contention

import "time"

// Policy says when writes are contended, and how long repairs wait then.
type Policy struct {
	// Repairs is how many are made at once within a Window of each other.
	Repairs int
	// Window is how long after the last repair another one counts as a new beginning.
	Window time.Duration
	// First is the first pause; each is twice the last, up to Longest.
	First, Longest time.Duration
}

// History is how often an object was repaired of late. The zero value is never.
type History struct {
	Repairs int
	Last    time.Time
	// Until is when the next repair may be made; zero is at once.
	Until time.Time
}

// Repaired returns the history after one more repair.
func (p Policy) Repaired(h History, now time.Time) History {
	if now.Sub(h.Last) > p.Window {
		h = History{}
	}
	h.Repairs, h.Last = h.Repairs+1, now
	if p.Contended(h) {
		h.Until = now.Add(p.pause(h.Repairs - p.Repairs))
	}
	return h
}

// Contended reports whether somebody keeps undoing the writes of a history.
func (p Policy) Contended(h History) bool { return h.Repairs >= p.Repairs }

// pause is that after so many earlier pauses.
func (p Policy) pause(earlier int) time.Duration {
	pause := p.First
	for ; earlier > 0 && pause < p.Longest; earlier-- {
		pause *= 2
	}
	return min(pause, p.Longest)
}

// Pause is how long the next repair waits; zero is not at all.
func (h History) Pause(now time.Time) time.Duration { return max(h.Until.Sub(now), 0) }
