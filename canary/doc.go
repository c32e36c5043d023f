// SPDX-License-Identifier: Apache-2.0

// Package canary decides, step by step, whether a new version of a workload
// replaces the one that users trust. It is pure: [Decide] is a function from the
// previous [State], an [Observation] of the cluster and the time to a [Decision],
// which holds actions, events and the next state. What goes in is never changed.
//
// Every version is a revision: a digest of the pod template and of the
// configuration it reads. The target is what Git says, the primary is what
// users get, and a revision moves from one to the other like this:
//
//	Initializing --primary ready--> Initialized <---reverted in Git---+
//	                                    |                             |
//	                              new revision --gate--> Waiting -----+
//	                                    v                   |         |
//	     +---another revision---> Progressing <--approved---+         |
//	     +-----(from step 0)---------+  | | <--gate--> WaitingPromotion
//	                                    | |
//	                                    | +--checks, samples, abort--> Failed
//	                             all steps good                          ^
//	                                    v                                |
//	                                Promoting --primary never ready------+
//	                                    |
//	                              primary ready
//	                                    v
//	                                Finalising --drained--> Succeeded
//
// Each phase is a function; phases in decide.go says which. Those of the analysis go on in
// advance.go, and the end of a deleted canary is not decided here. One that is made in several parts
// goes on from the state that the last part returned, so that no part depends on what
// another one left behind. What the phases share are values: where users are
// (traffic.go), who holds a release (gate.go), what the last releases measured
// (history.go), the steps of an analysis (steps.go), and one check (check.go).
//
// Webhooks, gates and people hold a release, and State.Hold says which of them.
// What they said was about one revision: another one clears every hold and every
// approval, and starts over.
//
// Three rules hold in every state. Users are never sent to pods that cannot
// answer while others can. What is promoted is exactly what was measured: the
// revision is pinned when the analysis starts, and anything else starts it over.
// Actions are absolute, so that a crash before the status is written repeats
// them harmlessly.
package canary
