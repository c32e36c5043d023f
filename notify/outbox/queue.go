// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"slices"
	"time"
)

// dueAt is when the first entry of a queue may be tried.
func (q *deliveryQueue) dueAt() time.Time {
	if q.to.pausedUntil.After(q.notBefore) {
		return q.to.pausedUntil
	}
	return q.notBefore
}

// replaced is the place of the entry that waits, and is not under way, to say the same; -1 is none.
func (q *deliveryQueue) replaced(replaces string) int {
	return slices.IndexFunc(q.waiting, func(k entryHeader) bool {
		underWay := q.running && k.id == q.waiting[0].id
		return replaces != "" && k.replaces == replaces && !underWay
	})
}

// isTooOld reports whether an entry is not tried again after a failure.
func (q *deliveryQueue) isTooOld(k entryHeader, failure *Temporary, now time.Time) bool {
	age := now.Sub(k.added)
	if failure.Limited || age >= maxKept {
		return age >= maxKept
	}
	return age-(q.to.pausedBy(now)-k.paused) >= maxAge
}

// postpone leaves the queue alone for a backoff, or for the time that its receiver asked for if that
// is longer; and all queues of a receiver that takes nothing, of which one asks then.
func (q *deliveryQueue) postpone(why *Temporary, now time.Time) {
	after := min(why.After, maxAge)
	if why.Limited {
		q.to.pause(now, now.Add(max(minBackoff, after)))
		return
	}
	wait := min(minBackoff<<min(q.attempts, 16), maxBackoff)
	q.attempts++
	q.notBefore = now.Add(max(wait, after))
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
