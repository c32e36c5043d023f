// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Look is what metrics said at one moment: they were in their ranges (passed), or one was
// not (failed), or one had no value (pending), or nobody could tell (unknown).
type Look struct {
	State    Verification
	Evidence string
}

// Looks are what the metrics of one landing on one target said so far. Only looks with an
// answer count, so that a server which is away for a while makes the verification longer,
// and neither better nor worse. They are not part of a [State]: each would be a commit. A
// process that begins looks anew.
//
//	Ready ---first---> look ---interval---> look ... until there are as many as fit into `for`
type Looks struct {
	// Begun is since when the target is Ready, and Asked when the last look began; zero is
	// never.
	Begun, Asked time.Time
	// Lost is for how long nobody could tell.
	Lost time.Duration
	// Good and Bad are how many had an answer.
	Good, Bad int
	// Last is the last look, and Worst what the last bad one said.
	Last  Look
	Worst string
}

// neededLooks is how many looks fit into the time for which metrics are looked at.
func neededLooks(v *sluicev1.MetricsVerification) int {
	interval := v.Interval.Duration
	return max(1, int((v.For.Duration+interval-1)/interval))
}

// MetricsTime is the least time that it takes to verify by metrics, where the longest of
// the windows that are measured is this one.
func MetricsTime(v *sluicev1.MetricsVerification, window time.Duration) time.Duration {
	return firstLook(v, window) + time.Duration(neededLooks(v)-1)*v.Interval.Duration
}

// firstLook is how long after a target is Ready metrics are looked at first: what is
// measured before the window is over is about the version before, too.
func firstLook(v *sluicev1.MetricsVerification, window time.Duration) time.Duration {
	return max(v.Interval.Duration, window)
}

// Due is when to look next.
func (l Looks) Due(v *sluicev1.MetricsVerification, window time.Duration) time.Time {
	if l.Asked.IsZero() {
		return l.Begun.Add(firstLook(v, window))
	}
	return l.Asked.Add(v.Interval.Duration)
}

// With are the looks with one more, which began at this time.
func (l Looks) With(look Look, at time.Time) Looks {
	before := l.Begun
	if !l.Asked.IsZero() {
		before = l.Asked
	}
	l.Asked, l.Last = at, look
	switch look.State {
	case VerificationPassed:
		l.Good++
	case VerificationFailed:
		l.Bad++
		l.Worst = look.Evidence
	case VerificationUnknown:
		l.Lost += at.Sub(before)
	case VerificationPending:
	}
	return l
}

// Verification is what the looks say, and why.
func (l Looks) Verification(v *sluicev1.MetricsVerification) (Verification, string) {
	answered, needed := l.Good+l.Bad, neededLooks(v)
	progress := fmt.Sprintf("%d of %d looks at its metrics are done", answered, needed)
	if l.Bad > 0 {
		progress += fmt.Sprintf(", %d bad (%s)", l.Bad, l.Worst)
	}
	switch {
	case l.Bad > int(v.Failures):
		return VerificationFailed, fmt.Sprintf("%s, in %d of %d looks, and %d may be bad", l.Worst, l.Bad, answered, v.Failures)
	case answered >= needed:
		return VerificationPassed, fmt.Sprintf("%d of %d looks at its metrics were good", l.Good, answered)
	case l.Last.State == VerificationUnknown:
		return VerificationUnknown, progress + ": " + l.Last.Evidence
	case l.Last.Evidence != "" && l.Last.State == VerificationPending:
		return VerificationPending, progress + ": " + l.Last.Evidence
	}
	return VerificationPending, progress
}
