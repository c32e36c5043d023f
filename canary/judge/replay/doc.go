// SPDX-License-Identifier: Apache-2.0

// Package replay judges releases that have been: what the judge would have said about
// them and when, what fixed thresholds would have done, and how many users would have met errors
// until then.
//
//	trace            readings of counters, one a line (WriteReading, ReadTrace)
//	Player           readings, in the order of their time -> ReplayedRelease, for each
//	ReplayedRelease  the verdict, the thresholds, and the evidence over time
//
// Which windows are of a release is known from the history of a Canary, or else by when the
// canary had requests. What came before is the baseline, from which the dispersion is measured.
// What has been is not changed by a replay: a canary that is cut here has kept its users there, and
// its later windows are shown, but decide nothing.
package replay
