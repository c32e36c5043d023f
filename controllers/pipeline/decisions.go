// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// shownDecisions is how many approvals and overrides of a stage a status has.
const shownDecisions = 10

// recordDecisions notes what people decided about each stage, and what came of their
// commands.
func recordDecisions(p *sluicev1.Pipeline, seen promotion.Observation, state promotion.State) {
	for i := range p.Status.Stages {
		status := &p.Status.Stages[i]
		kept := state.Stages[status.Name]
		if kept.Hold != nil {
			hold := consentOf(*kept.Hold)
			status.Hold = &hold
		}
		status.Approvals, status.Overrides = consentsOf(kept.Approvals), consentsOf(kept.Overrides)
		status.Commands = commandsTo(status.Name, seen, state)
	}
}

// commandsTo is what came of the last command of each verb to a stage. One that is not
// handled yet has no entry.
func commandsTo(stage string, seen promotion.Observation, state promotion.State) []sluicev1.CommandStatus {
	var found []sluicev1.CommandStatus
	for _, verb := range sluicev1.CommandVerbs {
		key := string(verb) + "/" + stage
		at, handled := state.Handled[key]
		status := sluicev1.CommandStatus{Verb: verb, At: metav1.NewTime(at), Outcome: sluicev1.CommandDone}
		if why, refused := state.Refused[key]; refused {
			status.Outcome, status.Message = sluicev1.CommandRefused, why
		}
		for _, c := range seen.Commands {
			if c.Verb != verb || c.Stage != stage || !c.At.After(at) {
				continue
			}
			if why := ignored(c, seen, state); why != "" {
				handled = true
				status.At, status.Outcome, status.Message = c.At, sluicev1.CommandIgnored, why
			}
		}
		if handled {
			found = append(found, status)
		}
	}
	return found
}

// ignored says why a command is not carried out, other than that it makes no sense; empty
// if it is not ignored.
func ignored(c promotion.Command, seen promotion.Observation, state promotion.State) string {
	switch {
	case !seen.CommandsGuarded:
		return "the API server does not guard commands: see the condition " + sluicev1.ApprovalsEnforcedCondition
	case state.IsUnguarded(c):
		return "it was given before the API server guarded commands: give it again"
	}
	return ""
}

func consentsOf(kept []promotion.Consent) []sluicev1.Consent {
	var shown []sluicev1.Consent
	for _, c := range kept[max(0, len(kept)-shownDecisions):] {
		shown = append(shown, consentOf(c))
	}
	return shown
}

func consentOf(c promotion.Consent) sluicev1.Consent {
	shown := sluicev1.Consent{Bundle: c.Bundle, By: c.By, At: metav1.NewTime(c.At), Reason: c.Reason}
	if c.Until != nil {
		shown.Until = &metav1.Time{Time: *c.Until}
	}
	return shown
}
