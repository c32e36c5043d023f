// SPDX-License-Identifier: Apache-2.0

// Package contention recognises that somebody keeps undoing what a controller writes.
//
// Every watch of such an object starts a reconcile, so that two controllers that
// disagree would write as fast as they can. The first repairs are made at once, since
// most changes by hand happen once; from then on each one waits longer than the last:
//
//	repair, repair, repair --Burst--> wait InitialBackoff, 2x, 4x, ... up to MaxBackoff
//	   ^                                    |
//	   +------ nothing for a Window --------+
//
// It is arithmetic over one object's [History], which its owner keeps, with what else
// is to be said about the object.
//
// The Backoff of client-go's util/flowcontrol has no burst, and keeps its own table by name,
// which somebody has to sweep. Ten times two edits by hand, an hour apart, would wait five
// minutes together with it, and do not wait here:
//
//	go test -run ClientGo ./internal/contention
package contention

import "time"

// Policy says when writes are contended, and how long repairs wait then.
type Policy struct {
	// Burst is how many repairs are made at once within a Window of each other.
	Burst int
	// Window is how long after the last repair another one counts as a new beginning.
	Window time.Duration
	// InitialBackoff is the first pause; each is twice the last, up to MaxBackoff.
	InitialBackoff, MaxBackoff time.Duration
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
		h.Until = now.Add(p.backoff(h.Repairs - p.Burst))
	}
	return h
}

// Contended reports whether somebody keeps undoing the writes of a history.
func (p Policy) Contended(h History) bool { return h.Repairs >= p.Burst }

// backoff is the wait after so many earlier ones.
func (p Policy) backoff(earlier int) time.Duration {
	pause := p.InitialBackoff
	for ; earlier > 0 && pause < p.MaxBackoff; earlier-- {
		pause *= 2
	}
	return min(pause, p.MaxBackoff)
}

// Pause is how long the next repair waits; zero is not at all.
func (h History) Pause(now time.Time) time.Duration { return max(h.Until.Sub(now), 0) }
