// SPDX-License-Identifier: Apache-2.0

package v1beta1

// Reasons of the events of a Canary.
const (
	// EventSynced is the reason of events about what happens in a release, as in Flagger.
	EventSynced = "Synced"
	// EventAlertFailed is the reason of events about an alert that could not be delivered.
	EventAlertFailed = "AlertFailed"
)

// Annotations of the events of a Canary: what a sentence is about, for machines.
// Sluice extensions.
const (
	// EventRevision is the revision under analysis.
	EventRevision = "flagger.app/revision"
	// EventWeight is the canary's percentage of the users.
	EventWeight = "flagger.app/weight"
	// EventSeverity is how bad the news is for chat rooms: info, warn or error.
	EventSeverity = "flagger.app/severity"
	// EventState is how the release stands, as a commit status has it: pending, success or
	// failure.
	EventState = "flagger.app/state"
)
