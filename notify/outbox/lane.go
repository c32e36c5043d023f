// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"slices"
	"time"
)

// dueAt is when the first entry of a lane may be tried.
func (l *lane) dueAt() time.Time {
	if l.to.pausedUntil.After(l.notBefore) {
		return l.to.pausedUntil
	}
	return l.notBefore
}

// replaced is the place of the entry that waits, and is not under way, to say the same; -1 is none.
func (l *lane) replaced(replaces string) int {
	return slices.IndexFunc(l.waiting, func(k entryHeader) bool {
		underWay := l.running && k.id == l.waiting[0].id
		return replaces != "" && k.replaces == replaces && !underWay
	})
}

// isTooOld reports whether an entry is not tried again after a failure.
func (l *lane) isTooOld(k entryHeader, failure *Temporary, now time.Time) bool {
	age := now.Sub(k.added)
	if failure.Limited || age >= maxKept {
		return age >= maxKept
	}
	return age-(l.to.pausedBy(now)-k.paused) >= maxAge
}

// postpone leaves the lane alone for a backoff, or for the time that its receiver asked for if that
// is longer; and all lanes of a receiver that takes nothing, of which one asks then.
func (l *lane) postpone(why *Temporary, now time.Time) {
	after := min(why.After, maxAge)
	if why.Limited {
		l.to.pause(now, now.Add(max(minBackoff, after)))
		return
	}
	wait := min(minBackoff<<min(l.attempts, 16), maxBackoff)
	l.attempts++
	l.notBefore = now.Add(max(wait, after))
}

// pause notes that a receiver takes nothing until a time.
func (r *receiver) pause(now, until time.Time) {
	from := now
	if r.pausedUntil.After(from) {
		from = r.pausedUntil
	}
	if until.After(from) {
		r.pausedUntil = until
		r.paused += until.Sub(from)
	}
}

// pausedBy is for how long a receiver has been paused by now, without what is still to come of a pause.
func (r *receiver) pausedBy(now time.Time) time.Duration {
	return r.paused - max(0, r.pausedUntil.Sub(now))
}
