// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Measurement is what metrics said at one moment: they were in their ranges (passed), or one was
// not (failed), or one had no value (pending), or nobody could tell (unknown).
type Measurement struct {
	State    Verification
	Evidence string
}

// Measurements are what the metrics of one landing on one target said so far. Only measurements with an
// answer count, so that a server which is away for a while makes the verification longer,
// and neither better nor worse. They are not part of a [State]: each would be a commit. A
// process that begins measures anew.
//
//	Ready ---first---> measured ---interval---> measured ... until there are as many as fit into `for`
type Measurements struct {
	// Begun is since when the target is Ready, and Asked when the last measurement began; zero is
	// never.
	Begun, Asked time.Time
	// Lost is for how long nobody could tell.
	Lost time.Duration
	// Good and Bad are how many had an answer.
	Good, Bad int
	// Last is the last measurement, and Worst what the last bad one said.
	Last  Measurement
	Worst string
}

// neededMeasurements is how many measurements fit into the time for which metrics are measured.
func neededMeasurements(v *sluicev1.MetricsVerification) int {
	interval := v.Interval.Duration
	return max(1, int((v.For.Duration+interval-1)/interval))
}

// MetricsTime is the least time that it takes to verify by metrics, where the longest of
// the windows that are measured is this one.
func MetricsTime(v *sluicev1.MetricsVerification, window time.Duration) time.Duration {
	return firstMeasurement(v, window) + time.Duration(neededMeasurements(v)-1)*v.Interval.Duration
}

// firstMeasurement is how long after a target is Ready metrics are measured first: what is
// measured before the window is over is about the version before, too.
func firstMeasurement(v *sluicev1.MetricsVerification, window time.Duration) time.Duration {
	return max(v.Interval.Duration, window)
}

// Due is when to measure next.
func (l Measurements) Due(v *sluicev1.MetricsVerification, window time.Duration) time.Time {
	if l.Asked.IsZero() {
		return l.Begun.Add(firstMeasurement(v, window))
	}
	return l.Asked.Add(v.Interval.Duration)
}

// With are the measurements with one more, which began at this time.
func (l Measurements) With(measurement Measurement, at time.Time) Measurements {
	before := l.Begun
	if !l.Asked.IsZero() {
		before = l.Asked
	}
	l.Asked, l.Last = at, measurement
	switch measurement.State {
	case VerificationPassed:
		l.Good++
	case VerificationFailed:
		l.Bad++
		l.Worst = measurement.Evidence
	case VerificationUnknown:
		l.Lost += at.Sub(before)
	case VerificationPending:
	}
	return l
}

// Verification is what the measurements say, and why.
func (l Measurements) Verification(v *sluicev1.MetricsVerification) (Verification, string) {
	answered, needed := l.Good+l.Bad, neededMeasurements(v)
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
