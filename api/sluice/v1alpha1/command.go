// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CommandVerb is what a person can tell a stage. It is also the verb that the
// ValidatingAdmissionPolicy of pipelines asks for, on the resource pipelines/<stage>.
type CommandVerb string

const (
	// CommandPromote gives the stage a bundle although it would not get it by itself.
	CommandPromote CommandVerb = "promote"
	// CommandApprove agrees to a bundle.
	CommandApprove CommandVerb = "approve"
	// CommandHold stops promotions to the stage, or lets them go on.
	CommandHold CommandVerb = "hold"
	// CommandOverride opens windows and freezes for one bundle.
	CommandOverride CommandVerb = "override"
	// CommandRollback gives the stage back an earlier bundle, and holds it.
	CommandRollback CommandVerb = "rollback"
	// CommandLift ends a quarantine, or confirms that a pipeline may go on although its
	// state was lost.
	CommandLift CommandVerb = "lift"
)

// CommandVerbs are all verbs, in the order in which help texts list them.
var CommandVerbs = []CommandVerb{CommandPromote, CommandApprove, CommandHold, CommandOverride, CommandRollback, CommandLift}

// CommandDomain ends the prefix of the annotations that commands are given by:
// `<verb>.sluice.dev/<stage>`.
const CommandDomain = ".sluice.dev"

// CommandAnnotation is the annotation of a command to a stage.
func CommandAnnotation(verb CommandVerb, stage string) string {
	return string(verb) + CommandDomain + "/" + stage
}

// ParseCommandAnnotation returns what an annotation of a Pipeline commands to which
// stage. It is false if it is no command.
func ParseCommandAnnotation(annotation string) (verb CommandVerb, stage string, ok bool) {
	prefix, stage, _ := strings.Cut(annotation, "/")
	name, isCommand := strings.CutSuffix(prefix, CommandDomain)
	if !isCommand || stage == "" {
		return "", "", false
	}
	for _, verb := range CommandVerbs {
		if string(verb) == name {
			return verb, stage, true
		}
	}
	return "", "", false
}

// Command is what a person told a stage: the value of a command's annotation. By comes
// first, where the ValidatingAdmissionPolicy compares it with who makes the request.
type Command struct {
	// By is the name of the user.
	By string `json:"by"`
	// At is when. A command is carried out once; another one has another time.
	At metav1.Time `json:"at"`
	// Reason is why.
	Reason string `json:"reason,omitempty"`
	// Bundle is the id of the bundle that it is about.
	Bundle string `json:"bundle,omitempty"`
	// Until is when the command stops being true: of an approval, hold or override.
	Until *metav1.Time `json:"until,omitempty"`
	// End means that a hold ends.
	End bool `json:"end,omitempty"`
}

// maxCommand bounds the bytes of a command.
const maxCommand = 4096

// String is the command as an annotation has it.
func (c Command) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // no field can fail
	}
	return string(text)
}

// ParseCommand reads the value of a command's annotation. A name that comes twice, or
// that is not first, would be another one to the policy than to us, and is refused.
func ParseCommand(value string) (Command, error) {
	if len(value) > maxCommand {
		return Command{}, fmt.Errorf("the command has more than %d bytes", maxCommand)
	}
	var c Command
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Command{}, fmt.Errorf("the command is not JSON as `sluice pipeline` writes it: %w", err)
	}
	name, err := json.Marshal(c.By)
	switch {
	case err != nil:
		return Command{}, err
	case c.By == "" || c.At.IsZero():
		return Command{}, errors.New("the command has no `by`, or no `at`")
	case !bytes.HasPrefix([]byte(value), append([]byte(`{"by":`), name...)), strings.Count(value, `"by":`) > 1:
		return Command{}, errors.New("the command does not begin with its `by`")
	}
	return c, nil
}
