// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Annotations of the events of a Pipeline: what a sentence is about, for machines. Beside them an event about a bundle
// that a stage got by a commit has event.toolkit.fluxcd.io/commit, as events of Flux may have.
const (
	// EventStage is the stage.
	EventStage = "sluice.dev/stage"
	// EventState is how the bundle stands in it, as a commit status has it: pending, success or failure.
	EventState = "sluice.dev/state"
)
