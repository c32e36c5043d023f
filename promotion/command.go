// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Of events about commands.
const (
	commandDone    = "CommandCarriedOut"
	commandRefused = "CommandRefused"
)

// carryOutCommands takes up what people asked for. What the API server does not guard may
// be written by anybody who may edit a pipeline, and is ignored.
func carryOutCommands(t transition) Decision {
	d := t.unchanged()
	d.State.Stages = withoutPastHolds(t.prev.Stages, t.now)
	if !t.seen.CommandsGuarded {
		return t.then(d, noteUnguarded)
	}
	commands := slices.Clone(t.seen.Commands)
	slices.SortStableFunc(commands, func(a, b Command) int { return a.At.Compare(b.At.Time) })
	for _, c := range commands {
		d = t.then(d, c.takeUp)
	}
	return d
}

// withoutPastHolds are the stages without holds whose time is over.
func withoutPastHolds(stages map[string]StageState, now time.Time) map[string]StageState {
	held := maps.Clone(stages)
	for name, stage := range stages {
		if stage.Hold != nil && !stage.Hold.inForce(now) {
			stage.Hold = nil
			held[name] = stage
		}
	}
	return held
}

// noteUnguarded notes which commands are there, or one that somebody wrote who may not
// give it would be carried out as soon as commands are guarded. Only stages that exist are
// noted, so that nobody makes the state grow.
func noteUnguarded(t transition) Decision {
	d := t.unchanged()
	for _, c := range t.seen.Commands {
		if t.seen.Spec.Stage(c.Stage) != nil && c.At.After(t.prev.Handled[c.key()]) {
			d.State.Unguarded = withEntry(d.State.Unguarded, c.key(), c.At.Time)
		}
	}
	return d
}

// IsUnguarded reports whether a command was there before commands were guarded.
func (s State) IsUnguarded(c Command) bool {
	at, noted := s.Unguarded[c.key()]
	return noted && at.Equal(c.At.Time)
}

// maxClockSkew is how far the clock of whoever gives a command may be ahead.
const maxClockSkew = 5 * time.Minute

// takeUp carries out a command that was not handled, if its time has come. Taken up before, it would be
// newer than all that follow; that is said once.
func (c Command) takeUp(t transition) Decision {
	if !c.At.After(t.prev.Handled[c.key()]) || t.prev.IsUnguarded(c) {
		return t.unchanged()
	}
	begins := c.At.Add(-maxClockSkew)
	if !begins.After(t.now) {
		d := t.unchanged()
		d.State.Handled = withEntry(t.prev.Handled, c.key(), c.At.Time)
		d.State.Refused = entriesOf(t.prev.Refused, func(key string) bool { return key != c.key() })
		return t.then(d, c.carryOut)
	}
	d := t.unchanged()
	why := fmt.Sprintf("its time, %s, has not come: give it again", c.At.UTC().Format(time.RFC3339))
	if t.prev.Refused[c.key()] != why {
		d = c.refuse(t, why)
	}
	d.requeueAt(begins, t.now)
	return d
}

// refuse says why a command is not carried out.
func (c Command) refuse(t transition, why string) Decision {
	d := t.unchanged()
	d.State.Refused = withEntry(t.prev.Refused, c.key(), why)
	d.warn(c.Stage, commandRefused, "%s asked to %s: %s", c.By, c.Verb, why)
	return d
}

func (c Command) carryOut(t transition) Decision {
	spec := t.seen.Spec.Stage(c.Stage)
	if spec == nil {
		return c.refuse(t, fmt.Sprintf("there is no stage %q", c.Stage))
	}
	carryOut, known := verbs[c.Verb]
	if !known {
		return c.refuse(t, "it is not known")
	}
	result := carryOut(t.stage(spec), c)
	if result.refused != "" {
		return c.refuse(t, result.refused)
	}
	d := Decision{State: result.state}
	d.addEvent(c.Stage, commandDone, "%s %s%s", c.By, result.done, because(c.Reason))
	return d
}

// verbs are what commands do.
var verbs = map[sluicev1.CommandVerb]func(stageTransition, Command) commandResult{
	sluicev1.CommandApprove:  approve,
	sluicev1.CommandHold:     hold,
	sluicev1.CommandOverride: overrideWindows,
	sluicev1.CommandPromote:  promote,
	sluicev1.CommandRollback: rollback,
	sluicev1.CommandLift:     lift,
}

// commandResult is the state of the pipeline after a command to a stage, and what that did, or why it is
// refused: then there is no state.
type commandResult struct {
	state   State
	done    string
	refused string
}

func refused(format string, args ...any) commandResult {
	return commandResult{refused: fmt.Sprintf(format, args...)}
}

// done is what a command did that leads to this state of the stage.
func (s stageTransition) done(stage StageState, what string) commandResult {
	return commandResult{state: s.pipeline.withStage(s.spec.Name, stage), done: what}
}

// consent is what a person says by a command about a bundle.
func consent(c Command, bundle string) Consent {
	given := Consent{Bundle: bundle, By: c.By, At: c.At.Time, Reason: c.Reason}
	if c.Until != nil {
		given.Until = &c.Until.Time
	}
	return given
}

// bundleFor is the bundle that a command is about: the one that it names, or a default.
func (c Command) bundleFor(s stageTransition, otherwise string) (id, refused string) {
	id = cmp.Or(c.Bundle, otherwise)
	if id == "" {
		return "", "it names no bundle, and the stage wants none"
	}
	if _, known := s.pipeline.Bundle(id); !known {
		return "", "bundle " + id + " is not known"
	}
	return id, ""
}

// nextBundle is the id of the bundle that the stage wants by itself, empty if that is none.
func nextBundle(s stageTransition) string {
	if w := choose(s).bundle; w != nil {
		return w.bundle.ID
	}
	return ""
}

func approve(s stageTransition, c Command) commandResult {
	id, why := c.bundleFor(s, nextBundle(s))
	if why != "" {
		return refused("%s", why)
	}
	given := consent(c, id)
	if a := s.spec.Approval; a != nil && a.ValidFor != nil {
		if until := c.At.Add(a.ValidFor.Duration); given.Until == nil || until.Before(*given.Until) {
			given.Until = &until
		}
	}
	stage := s.prev
	stage.Approvals = append(slices.Clip(stage.Approvals), given)
	return s.done(stage, "approved "+s.name(id))
}

func hold(s stageTransition, c Command) commandResult {
	stage := s.prev
	if c.End {
		stage.Hold = nil
		return s.done(stage, "ended the hold")
	}
	held := consent(c, "")
	stage.Hold = &held
	return s.done(stage, "held the stage")
}

func overrideWindows(s stageTransition, c Command) commandResult {
	id, why := c.bundleFor(s, nextBundle(s))
	if why != "" {
		return refused("%s", why)
	}
	stage := s.prev
	stage.Overrides = append(slices.Clip(stage.Overrides), consent(c, id))
	return s.done(stage, "opened windows and freezes for "+s.name(id))
}

// promote pins a bundle. One in quarantine needs a lift, or its time to be over.
func promote(s stageTransition, c Command) commandResult {
	id, why := c.bundleFor(s, newestUpstream(s))
	if why = cmp.Or(why, suspected(s, id)); why != "" {
		return refused("%s", why)
	}
	if s.hasEverywhere(id) {
		return refused("the stage has %s", s.name(id))
	}
	stage, pr := s.prev.withoutIgnored(id), s.seen.PullRequest
	if mergedAndGone(pr, stage.Proposal, id) {
		stage.Proposal = nil // it is proposed again
	}
	if w := stage.Writing; w != nil && w.Kind == sluicev1.LandingRollback && mergedAndGone(pr, stage.Proposal, w.Bundle) {
		stage.Writing, stage.Proposal = nil, nil // somebody took back the rollback, and this is what they want
	}
	stage.Pin = &Writing{Bundle: id, Kind: sluicev1.LandingPromotion, At: c.At.Time, By: c.By, Reason: c.Reason}
	return s.done(stage, "promoted "+s.name(id))
}

// suspected says why a person may not give a stage a bundle yet: it is in quarantine, or one
// of its versions is suspected. Empty is no reason, or that the time of the quarantine is over.
func suspected(s stageTransition, id string) string {
	b := s.bundle(id)
	for _, q := range s.pipeline.Quarantine {
		isOver := q.Until != nil && !s.now.Before(*q.Until)
		switch {
		case isOver:
		case q.Bundle == id:
			return s.name(id) + " is in quarantine: " + q.Reason + "; lift that first"
		case s.pipeline.excludes(q, b):
			return fmt.Sprintf("%s has a version that %s failed with in %s: %s; lift the quarantine of %s first",
				s.name(id), s.name(q.Bundle), q.Stage, q.Reason, q.Bundle)
		}
	}
	return ""
}

// newestUpstream is the newest bundle that is in a stage before this one or, for a first
// stage, the newest of all.
func newestUpstream(s stageTransition) string {
	if id := nextBundle(s); id != "" {
		return id
	}
	if s.spec.After == nil {
		if s.candidate != nil {
			return s.candidate.ID
		}
		return ""
	}
	for _, name := range s.spec.After.Stages {
		if id := s.pipeline.Stages[name].currentBundle(); id != "" {
			return id
		}
	}
	return ""
}

// rollback pins an earlier bundle, and holds the stage: or the bundle that was taken back
// would be promoted again.
func rollback(s stageTransition, c Command) commandResult {
	current := s.prev.currentBundle()
	back := s.prev.verifiedBefore(func(id string) bool { return id != current && !isExcluded(s, id) })
	id, why := c.bundleFor(s, back)
	switch {
	case c.Bundle == "" && back == "":
		return refused("there is no bundle that was verified here before: name one")
	case why != "":
		return refused("%s", why)
	case s.hasEverywhere(id):
		return refused("the stage has %s", s.name(id))
	}
	if why := suspected(s, id); why != "" {
		return refused("%s", why)
	}
	if !s.prev.hadBundle(id) { // it would be a promotion past approvals, windows and freezes
		return refused("%s is not among the last %d bundles that the stage had: `sluice pipeline promote` gives it another one",
			s.name(id), maxLandings)
	}
	stage, held := s.prev.withoutIgnored(id), consent(c, "")
	held.Reason = cmp.Or(held.Reason, "rolled back")
	stage.Writing = &Writing{Bundle: id, Kind: sluicev1.LandingRollback, At: c.At.Time, By: c.By, Reason: c.Reason}
	stage.Hold, stage.Pin = &held, nil
	return s.done(stage, "rolled back to "+s.name(id)+" and held the stage")
}

// lift ends the quarantine of a bundle, which it has to name if there are several. It is
// given to the stage where the bundle failed: who may do everything in staging is not who
// decides about what failed in production.
func lift(s stageTransition, c Command) commandResult {
	state, id := s.pipeline, c.Bundle
	switch {
	case state.Lost && id == "":
		state.Lost = false
		return commandResult{state: state, done: "confirmed that promotions may go on"}
	case id == "" && len(state.Quarantine) == 1:
		id = state.Quarantine[0].Bundle
	case id == "":
		return refused("it names no bundle, and %d are in quarantine", len(state.Quarantine))
	}
	q := state.quarantined(id)
	switch {
	case q == nil:
		return refused("no bundle of this id is in quarantine")
	case q.Stage != s.spec.Name && slices.ContainsFunc(s.stages, func(other sluicev1.Stage) bool { return other.Name == q.Stage }):
		return refused("%s failed in stage %s: lift it there", s.name(id), q.Stage)
	}
	state.Quarantine = slices.DeleteFunc(slices.Clone(state.Quarantine), func(q Quarantine) bool { return q.Bundle == id })
	return commandResult{state: state, done: "ended the quarantine of " + s.name(id)}
}
