// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// excess is how often some process of the primary had more errors than requests, of the windows that had errors. A process that
// begins again may, once. Of one that counts requests when they begin, and errors when they end, nobody knows how many requests
// the errors are of, and windows in which there were many are left out. The canary is not asked: it may begin again and again.
type excess struct {
	windows, of float64
	refused     bool
}

const (
	// excessWindows are as many as it takes, and one of excessOf; it is over when there are half as many.
	excessWindows, excessOf = 3, 10
	// excessRemembered is after how many of them all so far count for half.
	excessRemembered = 200
)

// add takes a window, and returns what people are to hear of: with it, nothing can be compared any more.
func (e *excess) add(w counter.Increments) (news string) {
	switch {
	case slices.ContainsFunc(w.Told, func(r counter.Remark) bool { return r.Arm == counter.Primary && r.Reason == counter.Excess }):
		e.windows, e.of = e.windows+1, e.of+1
	case w.Primary.Errors > 0:
		e.of++
	}
	if e.of >= excessRemembered {
		e.windows, e.of = e.windows/2, e.of/2
	}
	switch {
	case e.refused:
		e.refused = e.windows*2*excessOf >= e.of
	case e.windows >= excessWindows && e.windows*excessOf >= e.of:
		e.refused = true
		return e.problem()
	}
	return ""
}

// problem is why nothing can be compared; empty if it can.
func (e *excess) problem() string {
	if !e.refused {
		return ""
	}
	return "the primary had more errors than requests again and again, which are not counted at the same moment, then: in the " +
		"MetricTemplate, let spec.counters.exposure include the events and count what has ended, not what begins"
}
