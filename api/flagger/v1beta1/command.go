// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// CommandAnnotation on a Canary is a person's command: `<verb> <time> <who>`,
	// as [CanaryCommand.String] writes it. It is carried out once; what was
	// carried out last is in status.lastCommand.
	CommandAnnotation = "sluice.dev/command"
	// GatesAnnotation on a Canary names gates that are closed until a person
	// approves: confirm-rollout, confirm-traffic-increase, confirm-promotion,
	// separated by commas. They need no webhook.
	GatesAnnotation = "sluice.dev/gates"
)

// CommandVerb is what a person can tell a Canary to do.
type CommandVerb string

const (
	// CommandApprove opens the gate that the release waits at, and ends a halt or
	// a pause.
	CommandApprove CommandVerb = "approve"
	// CommandHalt keeps the release in its stage. Checks go on, and still roll it
	// back.
	CommandHalt CommandVerb = "halt"
	// CommandPause is a halt without checks: nothing is judged, and users stay
	// where they are as long as the canary answers.
	CommandPause CommandVerb = "pause"
	// CommandAbort rolls the release back now.
	CommandAbort CommandVerb = "abort"
	// CommandPromote promotes the revision under analysis now, unmeasured.
	CommandPromote CommandVerb = "promote"
	// CommandRetry analyses a revision that failed once more.
	CommandRetry CommandVerb = "retry"
)

// CommandVerbs are all verbs, in the order in which help texts list them.
var CommandVerbs = []CommandVerb{CommandApprove, CommandHalt, CommandPause, CommandAbort, CommandPromote, CommandRetry}

// OutcomeRefused starts the outcome of a command that changed nothing.
const OutcomeRefused = "refused: "

// CanaryCommand is a command, by whom and when. Sluice extension.
type CanaryCommand struct {
	// Verb of the command.
	// +kubebuilder:validation:Enum=approve;halt;pause;abort;promote;retry
	// +required
	Verb CommandVerb `json:"verb"`

	// At is when it was given.
	// +required
	At metav1.MicroTime `json:"at"`

	// By is who gave it, as the API server knew them.
	// +optional
	By string `json:"by,omitempty"`

	// Outcome says what became of it.
	// +optional
	Outcome string `json:"outcome,omitempty"`
}

// String is the command as the annotation has it.
func (in CanaryCommand) String() string {
	text := string(in.Verb) + " " + in.At.UTC().Format(metav1.RFC3339Micro)
	if in.By != "" {
		text += " " + in.By
	}
	return text
}

// ParseCommand reads the value of the annotation. The error says what is wrong
// with it.
func ParseCommand(value string) (CanaryCommand, error) {
	verb, rest, _ := strings.Cut(value, " ")
	when, by, _ := strings.Cut(rest, " ")
	if !slices.Contains(CommandVerbs, CommandVerb(verb)) {
		return CanaryCommand{}, fmt.Errorf("annotation %s: %q is none of %v", CommandAnnotation, verb, CommandVerbs)
	}
	at, err := time.Parse(time.RFC3339Nano, when)
	if err != nil {
		return CanaryCommand{}, fmt.Errorf("annotation %s: %q is not an RFC 3339 time", CommandAnnotation, when)
	}
	return CanaryCommand{Verb: CommandVerb(verb), At: metav1.NewMicroTime(at.Truncate(time.Microsecond)), By: strings.TrimSpace(by)}, nil
}

// Same reports whether two are the same command, whatever became of it.
func (in CanaryCommand) Same(other CanaryCommand) bool {
	return in.Verb == other.Verb && in.By == other.By && in.At.Time.Equal(other.At.Time)
}

// CanaryHold is what keeps a release where it is. Sluice extension.
type CanaryHold struct {
	// Kind: gate, halt, pause, or inconclusive if the judge has not decided in time.
	// +kubebuilder:validation:Enum=gate;halt;pause;inconclusive
	// +required
	Kind string `json:"kind"`

	// Gate that is closed, for the kind gate: confirm-rollout,
	// confirm-traffic-increase or confirm-promotion.
	// +optional
	Gate HookType `json:"gate,omitempty"`

	// By is who halted or paused it, or the name of the webhook that keeps the
	// gate closed.
	// +optional
	By string `json:"by,omitempty"`

	// Since when.
	// +required
	Since metav1.Time `json:"since"`

	// Approved means that a person has opened the gate, which the next step
	// passes.
	// +optional
	Approved bool `json:"approved,omitempty"`
}

// Kinds of [CanaryHold].
const (
	HoldGate  = "gate"
	HoldHalt  = "halt"
	HoldPause = "pause"
	// HoldInconclusive waits for a person because the judge has not decided in time.
	HoldInconclusive = "inconclusive"
)
