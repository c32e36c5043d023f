// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
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
func (r *round) carryOutCommands() {
	for name, stage := range r.State.Stages {
		if stage.Hold != nil && !stage.Hold.inForce(r.now) {
			stage.Hold = nil
			r.State.Stages[name] = stage
		}
	}
	if !r.seen.CommandsGuarded {
		return
	}
	commands := slices.Clone(r.seen.Commands)
	slices.SortStableFunc(commands, func(a, b Command) int { return a.At.Compare(b.At.Time) })
	for _, c := range commands {
		key := string(c.Verb) + "/" + c.Stage
		if !c.At.After(r.State.Handled[key]) {
			continue
		}
		if r.State.Handled == nil {
			r.State.Handled = map[string]time.Time{}
		}
		r.State.Handled[key] = c.At.Time
		r.carryOut(c)
	}
}

func (r *round) carryOut(c Command) {
	spec := r.seen.Spec.Stage(c.Stage)
	if spec == nil {
		r.warn(c.Stage, commandRefused, "%s asked to %s, but there is no stage %q", c.By, c.Verb, c.Stage)
		return
	}
	s := r.stage(spec)
	done, refused := s.obey(c)
	if refused != "" {
		r.warn(c.Stage, commandRefused, "%s asked to %s: %s", c.By, c.Verb, refused)
		return
	}
	r.keep(s)
	r.say(c.Stage, commandDone, "%s %s%s", c.By, done, because(c.Reason))
}

// obey carries out a command, and says what it did or why it is refused.
func (s *stageRound) obey(c Command) (done, refused string) {
	switch c.Verb {
	case sluicev1.CommandApprove:
		return s.approve(c)
	case sluicev1.CommandHold:
		return s.hold(c)
	case sluicev1.CommandOverride:
		return s.overrideWindows(c)
	case sluicev1.CommandPromote:
		return s.promote(c)
	case sluicev1.CommandRollback:
		return s.rollback(c)
	case sluicev1.CommandLift:
		return s.lift(c)
	}
	return "", "it is not known"
}

// choose is the bundle that a command is about: the one that it names, or a default.
func (s *stageRound) choose(c Command, otherwise string) (id, refused string) {
	id = cmp.Or(c.Bundle, otherwise)
	if id == "" {
		return "", "it names no bundle, and the stage wants none"
	}
	if _, known := s.State.Bundle(id); !known {
		return "", "bundle " + id + " is not known"
	}
	return id, ""
}

// next is the bundle that the stage wants by itself.
func (s *stageRound) next() string {
	w, _ := s.wanted()
	if w == nil {
		return ""
	}
	return w.bundle.ID
}

func consent(c Command, bundle string) Consent {
	given := Consent{Bundle: bundle, By: c.By, At: c.At.Time, Reason: c.Reason}
	if c.Until != nil {
		given.Until = &c.Until.Time
	}
	return given
}

func (s *stageRound) approve(c Command) (done, refused string) {
	id, refused := s.choose(c, s.next())
	if refused != "" {
		return "", refused
	}
	given := consent(c, id)
	if a := s.spec.Approval; a != nil && a.ValidFor != nil {
		if until := c.At.Add(a.ValidFor.Duration); given.Until == nil || until.Before(*given.Until) {
			given.Until = &until
		}
	}
	s.state.Approvals = append(s.state.Approvals, given)
	return "approved " + s.name(id), ""
}

func (s *stageRound) hold(c Command) (done, refused string) {
	if c.End {
		s.state.Hold = nil
		return "ended the hold", ""
	}
	held := consent(c, "")
	s.state.Hold = &held
	return "held the stage", ""
}

func (s *stageRound) overrideWindows(c Command) (done, refused string) {
	id, refused := s.choose(c, s.next())
	if refused != "" {
		return "", refused
	}
	s.state.Overrides = append(s.state.Overrides, consent(c, id))
	return "opened windows and freezes for " + s.name(id), ""
}

// promote pins a bundle. One in quarantine needs a lift, or its time to be over.
func (s *stageRound) promote(c Command) (done, refused string) {
	id, refused := s.choose(c, s.newestUpstream())
	if refused != "" {
		return "", refused
	}
	if q := s.State.quarantined(id); q != nil && (q.Until == nil || s.now.Before(*q.Until)) {
		return "", s.name(id) + " is in quarantine: " + q.Reason + "; lift that first"
	}
	if s.hasEverywhere(id) {
		return "", "the stage has " + s.name(id)
	}
	s.state.Ignored = slices.DeleteFunc(s.state.Ignored, func(i Ignored) bool { return i.Bundle == id })
	s.state.Pin = &Writing{Bundle: id, Kind: sluicev1.LandingPromotion, At: c.At.Time, By: c.By, Reason: c.Reason}
	return "promoted " + s.name(id), ""
}

// newestUpstream is the newest bundle that is in a stage before this one or, for a first
// stage, the newest of all.
func (s *stageRound) newestUpstream() string {
	if id := s.next(); id != "" {
		return id
	}
	if s.spec.After == nil {
		if s.Candidate != nil {
			return s.Candidate.ID
		}
		return ""
	}
	for _, name := range s.spec.After.Stages {
		if upstream := s.State.Stages[name]; upstream.current() != nil {
			return upstream.current().Bundle
		}
	}
	return ""
}

// rollback pins an earlier bundle, and holds the stage: or the bundle that was taken back
// would be promoted again.
func (s *stageRound) rollback(c Command) (done, refused string) {
	current := ""
	if l := s.state.current(); l != nil {
		current = l.Bundle
	}
	back := s.state.verifiedBefore(func(id string) bool { return id != current && s.State.quarantined(id) == nil })
	id, refused := s.choose(c, back)
	switch {
	case c.Bundle == "" && back == "":
		return "", "there is no bundle that was verified here before: name one"
	case refused != "":
		return "", refused
	case s.hasEverywhere(id):
		return "", "the stage has " + s.name(id)
	}
	s.state.Writing = &Writing{Bundle: id, Kind: sluicev1.LandingRollback, At: c.At.Time, By: c.By, Reason: c.Reason}
	held := consent(c, "")
	held.Reason = cmp.Or(held.Reason, "rolled back")
	s.state.Hold, s.state.Pin = &held, nil
	return "rolled back to " + s.name(id) + " and held the stage", ""
}

// lift ends the quarantine of a bundle.
func (s *stageRound) lift(c Command) (done, refused string) {
	if s.State.Lost && c.Bundle == "" {
		s.State.Lost = false
		return "confirmed that promotions may go on", ""
	}
	id := c.Bundle
	if id == "" && len(s.State.Quarantine) > 0 {
		id = s.State.Quarantine[len(s.State.Quarantine)-1].Bundle
	}
	if s.State.quarantined(id) == nil {
		return "", "no bundle of this id is in quarantine"
	}
	s.State.Quarantine = slices.DeleteFunc(s.State.Quarantine, func(q Quarantine) bool { return q.Bundle == id })
	return "ended the quarantine of " + s.name(id), ""
}
