// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Decision is what follows from one observation.
type Decision struct {
	// State is to be kept before any action is performed.
	State State
	// Actions are to be performed then, in order; each may be repeated.
	Actions []Action
	// Stages is where each stage stands, in the order of the spec.
	Stages []sluicev1.StageStatus
	// Candidate is the newest bundle; nil until all artifacts have had a version.
	Candidate *sluicev1.Bundle
	// Waiting says what the pipeline as a whole waits for; empty is nothing.
	Waiting string
	// Missing says which object that the spec names does not exist or cannot be looked at, or
	// which files do not say what a stage has, and what to do; empty if all is there.
	Missing string
	// Events tell people what happened, once State is kept. They are the message of the
	// commit that keeps it, too.
	Events []Event
	// After is when to look again although nothing happened; zero is never.
	After time.Duration
}

// Action changes something outside of the state. All are absolute.
type Action interface{ action() }

type (
	// Write writes a bundle to targets of a stage, by commit or by tag. It is done if
	// they have it.
	Write struct {
		Stage   string
		Targets []string
		Bundle  sluicev1.Bundle
		Kind    sluicev1.LandingKind
		From    string // id of what they had
		By      string // who asked for it; empty is nobody
		Reason  string
	}
	// Propose makes the head of a stage's pull request one commit with the bundle on its
	// base, and opens or updates the pull request.
	Propose struct {
		Stage   string
		Targets []string
		Bundle  sluicev1.Bundle
		Kind    sluicev1.LandingKind
		From    string
		By      string
		Reason  string
		// Number of the pull request to update; 0 opens one.
		Number int64
		Draft  bool
	}
	// Merge merges a pull request if its head is still this one.
	Merge struct {
		Stage  string
		Number int64
		Head   string
		Queue  bool // put it into the merge queue
	}
	// SetAutoMerge asks the forge to merge by itself, or not to.
	SetAutoMerge struct {
		Stage  string
		Number int64
		Head   string
		On     bool
	}
	// SetDraft marks a draft as ready, or a pull request as a draft.
	SetDraft struct {
		Stage  string
		Number int64
		Draft  bool
	}
	// ClosePullRequest closes it, with a comment. Its branch stays for the next one.
	ClosePullRequest struct {
		Stage   string
		Number  int64
		Comment string
	}
	// Comment comments on a pull request.
	Comment struct {
		Stage  string
		Number int64
		Text   string
	}
	// SetStatus shows the gates of a stage on the head of its pull request.
	SetStatus struct {
		Stage   string
		Head    string
		Open    bool
		Message string
	}
	// Verify runs the verifications of a target that has a bundle and is Ready.
	Verify struct {
		Stage  string
		Target string
		Bundle sluicev1.Bundle
		Since  time.Time // of the landing
	}
)

func (Write) action()            {}
func (Propose) action()          {}
func (Merge) action()            {}
func (SetAutoMerge) action()     {}
func (SetDraft) action()         {}
func (ClosePullRequest) action() {}
func (Comment) action()          {}
func (SetStatus) action()        {}
func (Verify) action()           {}

// then is both decisions: what the later one says comes last, and its state and candidate replace those of the first.
func (d Decision) then(later Decision) Decision {
	d.State = later.State
	d.Actions = slices.Concat(d.Actions, later.Actions)
	d.Stages = slices.Concat(d.Stages, later.Stages)
	d.Candidate, d.Waiting = cmp.Or(later.Candidate, d.Candidate), cmp.Or(later.Waiting, d.Waiting)
	d.Missing = cmp.Or(d.Missing, later.Missing)
	d.Events = slices.Concat(d.Events, later.Events)
	if later.After > 0 && (d.After == 0 || later.After < d.After) {
		d.After = later.After
	}
	return d
}

// with is the decision with what was decided about the stage of this name.
func (d Decision) with(stage string, of stageDecision, now time.Time) Decision {
	later := Decision{State: of.addTo(d.State, now).withStage(stage, of.state), Actions: of.actions, Missing: of.missing}
	for _, e := range of.events {
		e.Stage = stage
		later.Events = append(later.Events, e)
	}
	if of.status.Name != "" {
		later.Stages = []sluicev1.StageStatus{of.status}
	}
	later.requeueAt(of.waits.nextCheck, now)
	return d.then(later)
}

func (d *Decision) addEvent(stage, reason, format string, args ...any) {
	d.Events = append(d.Events, Event{Stage: stage, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (d *Decision) warn(stage, reason, format string, args ...any) {
	d.Events = append(d.Events, Event{Warning: true, Stage: stage, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// requeueAt makes sure that there is another look at this time; zero is none.
func (d *Decision) requeueAt(at, now time.Time) {
	if at.IsZero() {
		return
	}
	after := max(at.Sub(now), time.Second)
	if d.After == 0 || after < d.After {
		d.After = after
	}
}
