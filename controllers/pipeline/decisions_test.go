// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

func TestWhatCameOfACommand(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	given := func(at time.Time) []promotion.Command {
		return []promotion.Command{
			{Verb: sluicev1.CommandHold, Stage: "production", Command: sluicev1.Command{By: "alice", At: metav1.NewTime(at)}},
			{Verb: sluicev1.CommandHold, Stage: "staging", Command: sluicev1.Command{By: "alice", At: metav1.NewTime(at)}},
		}
	}
	handled := map[string]time.Time{"hold/production": at}
	status := func(outcome sluicev1.CommandOutcome, at time.Time, message string) []sluicev1.CommandStatus {
		return []sluicev1.CommandStatus{{Verb: sluicev1.CommandHold, At: metav1.NewTime(at), Outcome: outcome, Message: message}}
	}
	const missing = "the API server does not guard commands: see the condition ApprovalsEnforced"
	tests := map[string]struct {
		seen  promotion.Observation
		state promotion.State
		want  []sluicev1.CommandStatus
	}{
		"nothing is known of one that was not handled": {
			promotion.Observation{CommandsGuarded: true, Commands: given(at)}, promotion.State{}, nil,
		},
		"one that was carried out": {
			promotion.Observation{CommandsGuarded: true, Commands: given(at)},
			promotion.State{Handled: handled},
			status(sluicev1.CommandDone, at, ""),
		},
		"one that was carried out, and whose annotation is gone": {
			promotion.Observation{}, promotion.State{Handled: handled}, status(sluicev1.CommandDone, at, "")},
		"one that was refused": {
			promotion.Observation{CommandsGuarded: true}, promotion.State{Handled: handled, Refused: map[string]string{"hold/production": "no"}},
			status(sluicev1.CommandRefused, at, "no"),
		},
		"one that is not guarded is ignored": {
			promotion.Observation{Commands: given(at)}, promotion.State{}, status(sluicev1.CommandIgnored, at, missing)},
		"one that was there before commands were guarded is ignored": {
			promotion.Observation{CommandsGuarded: true, Commands: given(at)},
			promotion.State{Unguarded: map[string]time.Time{"hold/production": at}},
			status(sluicev1.CommandIgnored, at, "it was given before the API server guarded commands: give it again"),
		},
		"one after another that was carried out is ignored": {
			promotion.Observation{Commands: given(at.Add(time.Second))},
			promotion.State{Handled: handled},
			status(sluicev1.CommandIgnored, at.Add(time.Second), missing),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, commandsTo("production", tc.seen, tc.state)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheStatusSaysWhatPeopleDecided(t *testing.T) {
	at, until := time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	p := &sluicev1.Pipeline{}
	p.Status.Stages = []sluicev1.StageStatus{{Name: "staging"}, {Name: "production"}}
	state := promotion.State{Stages: map[string]promotion.StageState{"production": {
		Hold:      &promotion.Consent{By: "alice", At: at, Reason: "fair", Until: &until},
		Overrides: []promotion.Consent{{Bundle: "b", By: "bob", At: at}},
	}}}
	for range shownDecisions + 1 {
		s := state.Stages["production"]
		s.Approvals = append(s.Approvals, promotion.Consent{Bundle: "a", By: "carol", At: at})
		state.Stages["production"] = s
	}
	recordDecisions(p, promotion.Observation{}, state)
	got := p.Status.Stages[1]
	want := &sluicev1.Consent{By: "alice", At: metav1.NewTime(at), Reason: "fair", Until: &metav1.Time{Time: until}}
	if diff := cmp.Diff(want, got.Hold); diff != "" {
		t.Error(diff)
	}
	if len(got.Approvals) != shownDecisions || got.Approvals[0].By != "carol" || len(got.Overrides) != 1 || got.Overrides[0].Bundle != "b" {
		t.Errorf("got %+v", got)
	}
	if s := p.Status.Stages[0]; s.Hold != nil || s.Approvals != nil || s.Commands != nil {
		t.Errorf("nobody decided about staging: %+v", s)
	}
}
