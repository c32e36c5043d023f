// Package canary decides, step by step, whether a new version of a workload
// replaces the one that users trust. It is pure: a look at the world goes in
// ([Observation]), and what to do about it comes out ([Decision]).
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
//	                            all stages good                          ^
//	                                    v                                |
//	                                Promoting --primary never ready------+
//	                                    |
//	                              primary ready
//	                                    v
//	                                Finalising --drained--> Succeeded
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
