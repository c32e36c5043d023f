// SPDX-License-Identifier: Apache-2.0

// Package counter turns what a metrics server says about the processes of both arms
// into what package judge takes: what happened in a window of time.
//
// A server has counters, one for each process that counts: they only rise, and
// begin again at 0 when the process does. What happened between two moments is the
// difference of two readings, with four traps:
//
//	reset      the process began again: all of its counters did, also those that are
//	           by now higher than before
//	newcomer   a process that was not there before may have counted for hours, unless
//	           its pod is younger than the window; else it counts from the next window on
//	vanished   nobody knows what a process counted after it was last scraped
//	skew       processes are scraped one after the other. When a shared outage begins between
//	           two scrapes, one arm shows it an interval before the other, which looks as if
//	           one arm were worse; so counters are interpolated at the same moment
//
// rate() and increase() of PromQL know the first, and extrapolate over the others:
// three errors become 3.7. An arm without any process, one that is no longer scraped and a
// reset are told, and not guessed.
//
//	Reading      all counters of both arms, by one query at one time
//	Cursor       a stream of readings -> Increments: what a controller holds, and what replays use
//	Between      two readings whose processes were scraped together -> Increments
//
// The package computes; it has no clock, no client and no state of its own.
package counter
