// Package canary serves Canary objects: it looks at the two copies of a workload
// and at the traffic between them, lets the pure package of the same name decide
// what comes next, does it, and records it in the status.
//
//	observe --Seen--> Decide --Step--> perform --> record
//	   |                 ^                            |
//	   +--- measure -----+ (when a check is due)      +--> status, events
//
// It is driven by events: the target, the primary, their configuration, Services
// and routes are watched, and only the stages of an analysis run on a clock. A
// canary at rest costs nothing. Every look is live, also at the Canary itself: to
// decide on a status that was overtaken would take back what has been decided.
package canary
