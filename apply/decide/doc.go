// SPDX-License-Identifier: Apache-2.0

// Package decide holds the decisions of an apply, without doing anything: it knows no
// API server, no clock and no informer.
//
// Decisions about one object are made by the [Profile] of its owner's kind:
//
//	StepFor   skip, keep, update or create it
//	DriftOf   did somebody change it since it was applied?
//	Prunable  may its former owner delete it?
//
// [HealthOf] judges a set of objects, and [RepairPolicy] recognises that somebody else
// changes an object again and again.
//
// [Decide] is the state machine of one owner's reconcile. It is asked until it has
// nothing more to be done, each time with what was seen by then:
//
//	anything to do? --> dependencies --> read variables --> apply --> prune --> health
//	      |                   |                               |                    |
//	      '- nothing changed -|-------------------------------|------------------->|
//	                          '----------> Report <-----------'--------------------'
//
// [Finalize] is that of its deletion, which needs nothing of the source.
//
// The observation and the previous state are read-only; the next state is part of
// the decision.
package decide
