// SPDX-License-Identifier: Apache-2.0

// Package canary serves Canary objects: it looks at the two copies of a workload
// and at the traffic between them, lets the pure package of the same name decide
// what comes next, does it, and records it in the status.
//
//	observer --Observation--> Decide --Decision--> performer --> statusRecorder
//	   |                         ^                                    |
//	   +--- queries, sampler, ---+ (when a check is due)              +--> status, events
//	        comparisons
//
// Three things are asked of Prometheus and of others, each in the background:
//
//	            queries.go             sampler.go               comparisons.go
//	asks        metrics and webhooks   metrics, by thresholds   counters of both arms, in one query
//	when        a check is due         between two checks,      every few seconds of a release; at rest
//	                                   while there are users    every half a minute, of the primary alone
//	starts a    when there is an       when a metric fails      when there is a verdict
//	reconcile   answer                 decisively
//	keeps       answers about one      the alarm about one      the comparison
//	            moment                 revision
//	a restart   asks again             loses it: the next       goes on from the status, and reads
//	                                   check decides            again what happened since
//
// It is driven by events: the target, the primary, their configuration, Services
// and routes are watched, and only the stages of an analysis run on a clock. A
// canary at rest costs nothing, but for the look at its primary now and then that a judge
// learns from. Workloads, routes and the Canary itself are read
// live: to decide on a status that was overtaken would take back what has been decided.
// A deleted Canary gives back what it took by its reverter.
package canary
