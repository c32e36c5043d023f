// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// errorExcess counts how often a process of the primary had more errors than requests. Once that is
// no fault: a process may have begun again. Where it goes on, requests are counted when they
// begin and errors when they end, so that nobody knows of how many requests the errors are, and
// the windows with many errors are left out of the comparison. The canary is not asked: its
// processes may begin again and again.
type errorExcess struct {
	exceeding float64 // windows in which errors exceeded requests
	failing   float64 // windows in which the primary had any errors
	refused   bool
}

// Comparing is refused once at least minExceeding windows exceed, and they are at least one of
// maxFailing of those that fail; it goes on when they are less than half of that share. From
// maxRemembered failing windows on, all so far count for half.
const (
	minExceeding  = 3
	maxFailing    = 10
	maxRemembered = 200
)

// add takes a window, and returns what people are to hear of: with it, nothing can be compared any more.
func (e *errorExcess) add(w counter.Increments) (news string) {
	switch {
	case slices.ContainsFunc(w.Told, func(r counter.Remark) bool { return r.Arm == counter.Primary && r.Reason == counter.Excess }):
		e.exceeding, e.failing = e.exceeding+1, e.failing+1
	case w.Primary.Errors > 0:
		e.failing++
	}
	if e.failing >= maxRemembered {
		e.exceeding, e.failing = e.exceeding/2, e.failing/2
	}
	switch {
	case e.refused:
		e.refused = e.exceeding*2*maxFailing >= e.failing
	case e.exceeding >= minExceeding && e.exceeding*maxFailing >= e.failing:
		e.refused = true
		return e.problem()
	}
	return ""
}

// problem is why nothing can be compared; empty if it can.
func (e *errorExcess) problem() string {
	if !e.refused {
		return ""
	}
	return "the primary had more errors than requests again and again, which are not counted at the same moment, then: in the " +
		"MetricTemplate, let spec.counters.exposure include the events and count what has ended, not what begins"
}
