package v1beta1

// Annotations of the events of a Canary: what a sentence is about, for machines.
// Sluice extensions.
const (
	// EventRevision is the revision under analysis.
	EventRevision = "flagger.app/revision"
	// EventWeight is the canary's percentage of the users.
	EventWeight = "flagger.app/weight"
	// EventSeverity is how bad the news is for chat rooms: info, warn or error.
	EventSeverity = "flagger.app/severity"
)
