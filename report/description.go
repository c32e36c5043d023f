// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// CanaryDescription is a Canary with how it releases, its conditions, its last releases
// and its last events.
type CanaryDescription struct {
	Canary
	// State is the state of its step in a lane.
	State CellState `json:"state"`
	// Properties say in plain words how the Canary releases.
	Properties []Property `json:"properties"`
	// Promoted is the revision that users have when no release is under way.
	Promoted string `json:"promoted,omitempty"`
	// Applied is the revision that is tried or was tried last.
	Applied string `json:"applied,omitempty"`
	// PendingCommand was given and is not carried out yet.
	PendingCommand *flaggerv1.CanaryCommand `json:"pendingCommand,omitempty"`
	// Conditions are the conditions of the status.
	Conditions []Condition `json:"conditions"`
	// Good says what the values of each metric should be, by its name.
	Good map[string]string `json:"good"`
	// Webhooks are the webhooks of the analysis, those that failed last first, then the gates that are closed.
	Webhooks []Webhook `json:"webhooks"`
	// Releases are the last ones, the newest first.
	Releases []flaggerv1.CanaryRelease `json:"releases"`
	// Events are the last ones, the oldest first.
	Events []Event `json:"events"`
}

// Condition is a condition of an object's status.
type Condition struct {
	// Type of the condition, such as Ready.
	Type string `json:"type"`
	// Status is True, False or Unknown.
	Status string `json:"status"`
	// Reason is one word for programs.
	Reason string `json:"reason"`
	// Message is for people.
	Message string `json:"message"`
	// Since is when the status changed last.
	Since time.Time `json:"since"`
}

// DescribeCanary reads a Canary's spec and status.
func DescribeCanary(c *flaggerv1.Canary, events []Event) CanaryDescription {
	found := CanaryDescription{
		Canary: OfCanary(c), Properties: HowItReleases(c), Promoted: c.Status.Promoted(), Applied: c.Status.Applied(),
		PendingCommand: PendingCommand(c), Conditions: []Condition{}, Good: GoodValues(c),
		Releases: append([]flaggerv1.CanaryRelease{}, c.Status.History...), Events: append([]Event{}, events...),
	}
	found.State = canaryState(found.Canary)
	found.Webhooks = webhooksOf(c)
	for _, is := range c.Status.Conditions {
		found.Conditions = append(found.Conditions, Condition{
			Type: string(is.Type), Status: string(is.Status), Reason: is.Reason, Message: is.Message, Since: is.LastTransitionTime.Time,
		})
	}
	return found
}
