// SPDX-License-Identifier: Apache-2.0

// Package promotion decides which bundle each stage of a Pipeline is given, what it
// waits for, and what happens to a bundle that fails. It is pure: [Decide] is a function
// from the [State] that was kept, an [Observation] and the time to a [Decision], which
// holds the next state and actions. What goes in is never changed.
//
// A bundle is one version of each artifact. What a stage has is read from the content of
// its branch, or from its tag; a commit of anybody is seen the same way. A bundle that a
// stage has is a landing, and goes this way:
//
//	wanted --gates--> written --> content has it --> Ready --> verified --soak--> eligible
//	                                  |                |          for the stages after it
//	                                  +----------------+
//	                                  | failed, or not verified in time
//	                                  v
//	                            quarantined --> the newest verified bundle is written
//
// A decision is made in parts, each a function that reads a state and returns another: first of the
// pipeline (followspec.go, candidate.go, command.go), then of each stage, in their order: what it has
// (record.go) and whether that works (verdict.go); then, once that is known of all, what it is to be given
// (select.go, upstream.go), what it waits for (gate.go), and how it is written (advance.go, pullrequest.go,
// merge.go). What is decided about a stage is a value, which [Decide] adds to the decision.
//
// The state is kept before anything is done because of it: a bundle is in quarantine
// before the commit that takes it back, and what is about to be written is noted before
// it is pushed. Actions are absolute, so that they may be repeated after a crash: a
// bundle that is there already is not written again.
//
// Rules that hold whatever happens, and that a model test holds [Decide] to:
//
//   - no bundle reaches a stage before its gates are open
//   - a quarantined bundle is never written by itself
//   - a bundle is promoted to a stage once; who takes it out by a commit wins
//   - a landing is rolled back once, and a rollback never
package promotion
