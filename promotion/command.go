// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
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
func (r *transition) carryOutCommands() {
	for name, stage := range r.State.Stages {
		if stage.Hold != nil && !stage.Hold.inForce(r.now) {
			stage.Hold = nil
			r.State.Stages[name] = stage
		}
	}
	if !r.seen.CommandsGuarded {
		r.noteUnguarded()
		return
	}
	commands := slices.Clone(r.seen.Commands)
	slices.SortStableFunc(commands, func(a, b Command) int { return a.At.Compare(b.At.Time) })
	for _, c := range commands {
		key := c.key()
		if !c.At.After(r.State.Handled[key]) || r.State.IsUnguarded(c) {
			continue
		}
		if begins := c.At.Add(-maxClockSkew); begins.After(r.now) {
			r.refuseUntil(c, begins)
			continue
		}
		if r.State.Handled == nil {
			r.State.Handled = map[string]time.Time{}
		}
		r.State.Handled[key] = c.At.Time
		delete(r.State.Refused, key)
		r.carryOut(c)
	}
}

// noteUnguarded notes which commands are there, or one that somebody wrote who may not
// give it would be carried out as soon as commands are guarded. Only stages that exist are
// noted, so that nobody makes the state grow.
func (r *transition) noteUnguarded() {
	for _, c := range r.seen.Commands {
		key := c.key()
		if r.seen.Spec.Stage(c.Stage) == nil || !c.At.After(r.State.Handled[key]) {
			continue
		}
		if r.State.Unguarded == nil {
			r.State.Unguarded = map[string]time.Time{}
		}
		r.State.Unguarded[key] = c.At.Time
	}
}

// IsUnguarded reports whether a command was there before commands were guarded.
func (s State) IsUnguarded(c Command) bool {
	at, noted := s.Unguarded[c.key()]
	return noted && at.Equal(c.At.Time)
}

// maxClockSkew is how far the clock of whoever gives a command may be ahead.
const maxClockSkew = 5 * time.Minute

// refuseUntil says once that a command has a time that has not come. Taken up, it would be
// newer than all that follow.
func (r *transition) refuseUntil(c Command, begins time.Time) {
	why := fmt.Sprintf("its time, %s, has not come: give it again", c.At.UTC().Format(time.RFC3339))
	if r.State.Refused[c.key()] != why {
		r.refuse(c, why)
	}
	r.requeueAt(begins, r.now)
}

// refuse says why a command is not carried out.
func (r *transition) refuse(c Command, why string) {
	if r.State.Refused == nil {
		r.State.Refused = map[string]string{}
	}
	r.State.Refused[c.key()] = why
	r.warn(c.Stage, commandRefused, "%s asked to %s: %s", c.By, c.Verb, why)
}

func (r *transition) carryOut(c Command) {
	spec := r.seen.Spec.Stage(c.Stage)
	if spec == nil {
		r.refuse(c, fmt.Sprintf("there is no stage %q", c.Stage))
		return
	}
	s := r.stage(spec)
	done, refused := commandHandler{s}.handle(c)
	if refused != "" {
		r.refuse(c, refused)
		return
	}
	r.saveStage(s)
	r.addEvent(c.Stage, commandDone, "%s %s%s", c.By, done, because(c.Reason))
}

// commandHandler is a command to a stage.
type commandHandler struct{ stage *stage }

func consent(c Command, bundle string) Consent {
	given := Consent{Bundle: bundle, By: c.By, At: c.At.Time, Reason: c.Reason}
	if c.Until != nil {
		given.Until = &c.Until.Time
	}
	return given
}

// handle carries out a command, and says what it did or why it is refused.
func (h commandHandler) handle(c Command) (done, refused string) {
	switch c.Verb {
	case sluicev1.CommandApprove:
		return h.approve(c)
	case sluicev1.CommandHold:
		return h.hold(c)
	case sluicev1.CommandOverride:
		return h.overrideWindows(c)
	case sluicev1.CommandPromote:
		return h.promote(c)
	case sluicev1.CommandRollback:
		return h.rollback(c)
	case sluicev1.CommandLift:
		return h.lift(c)
	}
	return "", "it is not known"
}

// choose is the bundle that a command is about: the one that it names, or a default.
func (h commandHandler) choose(c Command, otherwise string) (id, refused string) {
	id = cmp.Or(c.Bundle, otherwise)
	if id == "" {
		return "", "it names no bundle, and the stage wants none"
	}
	if _, known := h.stage.transition.State.Bundle(id); !known {
		return "", "bundle " + id + " is not known"
	}
	return id, ""
}

// next is the bundle that the stage wants by itself.
func (h commandHandler) next() string {
	if w := choose(h.stage.from()).bundle; w != nil {
		return w.bundle.ID
	}
	return ""
}

func (h commandHandler) approve(c Command) (done, refused string) {
	id, refused := h.choose(c, h.next())
	if refused != "" {
		return "", refused
	}
	given := consent(c, id)
	if a := h.stage.spec.Approval; a != nil && a.ValidFor != nil {
		if until := c.At.Add(a.ValidFor.Duration); given.Until == nil || until.Before(*given.Until) {
			given.Until = &until
		}
	}
	h.stage.state.Approvals = append(h.stage.state.Approvals, given)
	return "approved " + h.stage.name(id), ""
}

func (h commandHandler) hold(c Command) (done, refused string) {
	if c.End {
		h.stage.state.Hold = nil
		return "ended the hold", ""
	}
	held := consent(c, "")
	h.stage.state.Hold = &held
	return "held the stage", ""
}

func (h commandHandler) overrideWindows(c Command) (done, refused string) {
	id, refused := h.choose(c, h.next())
	if refused != "" {
		return "", refused
	}
	h.stage.state.Overrides = append(h.stage.state.Overrides, consent(c, id))
	return "opened windows and freezes for " + h.stage.name(id), ""
}

// promote pins a bundle. One in quarantine needs a lift, or its time to be over.
func (h commandHandler) promote(c Command) (done, refused string) {
	id, refused := h.choose(c, h.newestUpstream())
	if refused != "" {
		return "", refused
	}
	if refused := h.quarantined(id); refused != "" {
		return "", refused
	}
	if h.stage.from().hasEverywhere(id) {
		return "", "the stage has " + h.stage.name(id)
	}
	h.stage.state = h.stage.state.withoutIgnored(id)
	if h.mergedAndGone(id) {
		h.stage.state.Proposal = nil // it is proposed again
	}
	if w := h.stage.state.Writing; w != nil && w.Kind == sluicev1.LandingRollback && h.mergedAndGone(w.Bundle) {
		h.stage.state.Writing, h.stage.state.Proposal = nil, nil // somebody took back the rollback, and this is what they want
	}
	h.stage.state.Pin = &Writing{Bundle: id, Kind: sluicev1.LandingPromotion, At: c.At.Time, By: c.By, Reason: c.Reason}
	return "promoted " + h.stage.name(id), ""
}

func (h commandHandler) mergedAndGone(bundle string) bool {
	return mergedAndGone(h.stage.seen.PullRequest, h.stage.state.Proposal, bundle)
}

// quarantined says why a person may not give a stage a bundle yet: it is in quarantine, or one
// of its versions is suspected. Empty is no reason, or that the time of the quarantine is over.
func (h commandHandler) quarantined(id string) string {
	b := h.stage.bundle(id)
	for _, q := range h.stage.transition.State.Quarantine {
		isOver := q.Until != nil && !h.stage.now.Before(*q.Until)
		switch {
		case isOver:
		case q.Bundle == id:
			return h.stage.name(id) + " is in quarantine: " + q.Reason + "; lift that first"
		case h.stage.transition.State.excludes(q, b):
			return fmt.Sprintf("%s has a version that %s failed with in %s: %s; lift the quarantine of %s first",
				h.stage.name(id), h.stage.name(q.Bundle), q.Stage, q.Reason, q.Bundle)
		}
	}
	return ""
}

// newestUpstream is the newest bundle that is in a stage before this one or, for a first
// stage, the newest of all.
func (h commandHandler) newestUpstream() string {
	if id := h.next(); id != "" {
		return id
	}
	if h.stage.spec.After == nil {
		if h.stage.transition.Candidate != nil {
			return h.stage.transition.Candidate.ID
		}
		return ""
	}
	for _, name := range h.stage.spec.After.Stages {
		if upstream := h.stage.transition.State.Stages[name]; upstream.current() != nil {
			return upstream.current().Bundle
		}
	}
	return ""
}

// rollback pins an earlier bundle, and holds the stage: or the bundle that was taken back
// would be promoted again.
func (h commandHandler) rollback(c Command) (done, refused string) {
	current := ""
	if l := h.stage.state.current(); l != nil {
		current = l.Bundle
	}
	back := h.stage.state.verifiedBefore(func(id string) bool { return id != current && !isExcluded(h.stage.from(), id) })
	id, refused := h.choose(c, back)
	switch {
	case c.Bundle == "" && back == "":
		return "", "there is no bundle that was verified here before: name one"
	case refused != "":
		return "", refused
	case h.stage.from().hasEverywhere(id):
		return "", "the stage has " + h.stage.name(id)
	}
	if refused := h.quarantined(id); refused != "" {
		return "", refused
	}
	if !h.stage.state.had(id) { // it would be a promotion past approvals, windows and freezes
		return "", fmt.Sprintf("%s is not among the last %d bundles that the stage had: `sluice pipeline promote` gives it another one",
			h.stage.name(id), maxLandings)
	}
	h.stage.state = h.stage.state.withoutIgnored(id)
	h.stage.state.Writing = &Writing{Bundle: id, Kind: sluicev1.LandingRollback, At: c.At.Time, By: c.By, Reason: c.Reason}
	held := consent(c, "")
	held.Reason = cmp.Or(held.Reason, "rolled back")
	h.stage.state.Hold, h.stage.state.Pin = &held, nil
	return "rolled back to " + h.stage.name(id) + " and held the stage", ""
}

// lift ends the quarantine of a bundle, which it has to name if there are several. It is
// given to the stage where the bundle failed: who may do everything in staging is not who
// decides about what failed in production.
func (h commandHandler) lift(c Command) (done, refused string) {
	state, id := &h.stage.transition.State, c.Bundle
	switch {
	case state.Lost && id == "":
		state.Lost = false
		return "confirmed that promotions may go on", ""
	case id == "" && len(state.Quarantine) == 1:
		id = state.Quarantine[0].Bundle
	case id == "":
		return "", fmt.Sprintf("it names no bundle, and %d are in quarantine", len(state.Quarantine))
	}
	q := h.stage.quarantined(id)
	switch {
	case q == nil:
		return "", "no bundle of this id is in quarantine"
	case q.Stage != h.stage.spec.Name && h.stage.transition.seen.Spec.Stage(q.Stage) != nil:
		return "", fmt.Sprintf("%s failed in stage %s: lift it there", h.stage.name(id), q.Stage)
	}
	state.Quarantine = slices.DeleteFunc(state.Quarantine, func(q Quarantine) bool { return q.Bundle == id })
	return "ended the quarantine of " + h.stage.name(id), ""
}
