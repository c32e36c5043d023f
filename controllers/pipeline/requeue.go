// SPDX-License-Identifier: Apache-2.0

package pipeline

import "time"

// requeue is when a pipeline is looked at again for what nobody tells of: a forge that
// computes something, metrics that are to be measured, a Secret that is to be put right.
// Its zero value is with the interval. It is that of one observation.
type requeue struct{ after time.Duration }

// in has the pipeline looked at after a time, or sooner if something else asked for that.
func (q *requeue) in(after time.Duration) {
	after = max(after, time.Second)
	if q.after == 0 || after < q.after {
		q.after = after
	}
}

// at has the pipeline looked at at a time; the zero time is none.
func (q *requeue) at(when, now time.Time) {
	if !when.IsZero() {
		q.in(when.Sub(now))
	}
}

// within is when the pipeline is looked at, at the latest after a time.
func (q *requeue) within(latest time.Duration) time.Duration {
	if q.after > 0 {
		return min(latest, q.after)
	}
	return latest
}
