// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// bundleOf is the id of the bundle that a content is, empty if that is none. If it may be
// several, because fields hold only tags, it is the one that was expected.
func (s *stageRound) bundleOf(c Content) string {
	if c.Problem != "" || len(c.Versions) == 0 {
		return ""
	}
	var expected []string
	if s.state.Writing != nil {
		expected = append(expected, s.state.Writing.Bundle)
	}
	for _, l := range s.state.Landings {
		expected = append(expected, l.Bundle)
	}
	if s.state.Proposal != nil {
		expected = append(expected, s.state.Proposal.Bundle)
	}
	for _, id := range expected {
		if b, known := s.State.Bundle(id); known && c.Is(b) {
			return id
		}
	}
	for _, b := range slices.Backward(s.State.Bundles) {
		if c.Is(b.Bundle) {
			return b.ID
		}
	}
	b := NewBundle(c.Versions)
	s.State.know(b, s.now)
	return b.ID
}

// recordContent notes the bundle that the stage has as a landing, if it is another one
// than before.
func (s *stageRound) recordContent() {
	at := s.arrived()
	if at == nil {
		return
	}
	id := s.bundleOf(at.Content)
	if w := s.state.Writing; w != nil && s.hasEverywhere(w.Bundle) {
		defer func() { s.state.Writing = nil }()
	}
	current := s.state.current()
	if current != nil && current.Bundle == id && !s.undone() {
		s.recordCommit(current, at)
		return
	}
	s.leave(current)
	l := Landing{Bundle: id, At: s.now, Kind: s.kindOf(id, at), Commit: at.Commit, By: at.By}
	if w := s.state.Writing; w != nil && w.Bundle == id {
		l.By = cmp.Or(w.By, l.By)
	} else {
		s.overtaken()
	}
	if pin := s.state.Pin; pin != nil && pin.Bundle == id {
		s.state.Pin = nil
	}
	s.state.Landings = slices.Insert(s.state.Landings, 0, l)
	s.announce(l)
	s.override(l)
}

// undone reports whether what was just written is gone already.
func (s *stageRound) undone() bool {
	w := s.state.Writing
	return w != nil && s.seen.Wrote == w.Bundle && !s.isThere(w.Bundle)
}

// overtaken ends what was about to be written when another bundle arrived. Whether it was
// there in between is not known; it counts as if it was, for who overwrites it wins.
func (s *stageRound) overtaken() {
	if w := s.state.Writing; w != nil && w.Kind == sluicev1.LandingPromotion {
		s.state.Landings = slices.Insert(s.state.Landings, 0, Landing{
			Bundle: w.Bundle, At: s.now, Kind: w.Kind, By: w.By, Verdict: Replaced, VerdictAt: &s.now, Reason: "another commit came at the same time",
		})
	}
	s.state.Writing = nil
}

// recordCommit notes the commit of a landing once that is known.
func (s *stageRound) recordCommit(l *Landing, at *TargetSeen) {
	if l.Commit == "" && at.Commit != "" {
		l.Commit, l.By = at.Commit, cmp.Or(l.By, at.By)
	}
}

// arrived is a target with a bundle that the stage did not have before, or else the first
// that has the current one; nil if no content can be read. While a bundle goes from wave
// to wave the others still have the one before, which did not arrive.
func (s *stageRound) arrived() *TargetSeen {
	current, before := s.state.current(), ""
	if len(s.state.Landings) > 1 {
		before = s.state.Landings[1].Bundle
	}
	var has, old *TargetSeen
	for i := range s.seen.Targets {
		t := &s.seen.Targets[i]
		switch id := s.bundleOf(t.Content); {
		case id == "":
		case current == nil:
			return t
		case id == current.Bundle:
			has = cmp.Or(has, t)
		case id != before || s.lostAgain(current, t):
			return t
		default:
			old = cmp.Or(old, t)
		}
	}
	return cmp.Or(has, old)
}

// lostAgain reports whether a target had the current bundle, and has the one before it
// again: somebody took it out.
func (s *stageRound) lostAgain(current *Landing, t *TargetSeen) bool {
	i := slices.Index(s.waves(), t.Wave)
	return i >= 0 && i < len(current.Waves) && (s.state.Writing == nil || s.state.Writing.Bundle != current.Bundle)
}

func (s *stageRound) kindOf(id string, at *TargetSeen) sluicev1.LandingKind {
	switch w, p := s.state.Writing, s.state.Proposal; {
	case w != nil && w.Bundle == id:
		return w.Kind
	case p != nil && p.Bundle == id:
		return p.Kind
	case at.Ours:
		return sluicev1.LandingPromotion
	}
	return sluicev1.LandingManual
}

// leave ends a landing: its bundle is not in the stage any more.
func (s *stageRound) leave(l *Landing) {
	if l == nil {
		return
	}
	s.stopSoak(l)
	if l.Verdict == "" {
		l.Verdict, l.VerdictAt = Replaced, &s.now
	}
}

func (s *stageRound) stopSoak(l *Landing) {
	if l.Since != nil {
		l.Soaked, l.Since = Duration(l.soaked(s.now)), nil
	}
}

func (s *stageRound) announce(l Landing) {
	switch l.Kind {
	case sluicev1.LandingRollback:
		s.say(s.spec.Name, "RolledBack", "%s has %s again", s.spec.Name, s.name(l.Bundle))
	case sluicev1.LandingManual:
		s.say(s.spec.Name, "Landed", "%s has %s, by commit %s of %s", s.spec.Name, s.name(l.Bundle), short(l.Commit), cmp.Or(l.By, "somebody"))
	default:
		s.say(s.spec.Name, "Landed", "%s has %s", s.spec.Name, s.name(l.Bundle))
	}
}

// override notes that somebody put a bundle back that is in quarantine. They win, until
// it fails again.
func (s *stageRound) override(l Landing) {
	q := s.State.quarantined(l.Bundle)
	if q == nil || l.Kind != sluicev1.LandingManual || len(s.state.Landings) == 1 {
		return
	}
	q.Overridden = &s.now
	s.warn(s.spec.Name, sluicev1.QuarantineOverriddenReason, "commit %s put %s back into %s, which is in quarantine since %s: %s",
		short(l.Commit), s.name(l.Bundle), s.spec.Name, q.At.UTC().Format(time.RFC3339), q.Reason)
}

// hasEverywhere reports whether all targets have a bundle.
func (s *stageRound) hasEverywhere(id string) bool {
	return len(s.lacking(id)) == 0
}

// lacking are the targets that do not have a bundle.
func (s *stageRound) lacking(id string) []TargetSeen {
	b, _ := s.State.Bundle(id)
	var lacking []TargetSeen
	for _, t := range s.seen.Targets {
		if !t.Is(b) {
			lacking = append(lacking, t)
		}
	}
	return lacking
}

// judge comes to a verdict on the bundle that the stage has, wave by wave.
func (s *stageRound) judge() {
	l := s.state.current()
	if l == nil {
		return
	}
	if l.Verdict != "" {
		s.soak(l)
		return
	}
	b, _ := s.State.Bundle(l.Bundle)
	for i, wave := range s.waves() {
		targets, all := s.members(l, wave, b)
		if len(targets) == 0 && l.Kind == sluicev1.LandingManual {
			continue
		}
		if !all {
			return // it is written to the rest of the wave first
		}
		if i >= len(l.Waves) {
			l.Waves = append(l.Waves, s.now)
		}
		if !s.judgeWave(l, targets, l.Waves[min(i, len(l.Waves)-1)], b) {
			return
		}
	}
	l.Verdict, l.VerdictAt, l.Since = Verified, &s.now, &s.now
	s.say(s.spec.Name, "Verified", "%s is verified in %s", s.name(l.Bundle), s.spec.Name)
}

// members are the targets of a wave that have the bundle, and whether all do that have
// to. Somebody's commit may be about some targets alone.
func (s *stageRound) members(l *Landing, wave int, b sluicev1.Bundle) (targets []TargetSeen, all bool) {
	all = true
	for _, t := range s.seen.Targets {
		switch {
		case t.Wave != wave:
		case t.Is(b):
			targets = append(targets, t)
		default:
			all = all && l.Kind == sluicev1.LandingManual
		}
	}
	return targets, all
}

// judgeWave reports whether all targets of a wave are verified.
func (s *stageRound) judgeWave(l *Landing, targets []TargetSeen, since time.Time, b sluicev1.Bundle) bool {
	deadline := since.Add(s.spec.VerifyTimeout.Duration)
	waits := ""
	for _, t := range targets {
		switch {
		case t.Ready == Broken:
			s.fail(l, s.of(t, t.Why))
			return false
		case t.Proof == Refuted:
			s.fail(l, s.of(t, t.Evidence))
			return false
		case t.Ready == Unready:
			waits = cmp.Or(waits, s.of(t, cmp.Or(t.Why, "not Ready yet")))
		case t.Proof == Pending:
			waits = cmp.Or(waits, s.of(t, cmp.Or(t.Evidence, "not verified yet")))
			s.do(Verify{Stage: s.spec.Name, Target: t.Name, Bundle: b, Since: since})
		}
	}
	switch {
	case waits == "":
		return true
	case s.spec.VerifyTimeout.Duration > 0 && !s.now.Before(deadline):
		s.fail(l, fmt.Sprintf("not verified within %s: %s", s.spec.VerifyTimeout.Duration, waits))
	case s.spec.VerifyTimeout.Duration > 0:
		s.lookAgain(deadline, s.now)
	}
	return false
}

// of says which target something is about.
func (s *stageRound) of(t TargetSeen, text string) string {
	if t.Name == "" {
		return text
	}
	return t.Name + ": " + text
}

// soak counts the time that a verified bundle is in the stage and not broken.
func (s *stageRound) soak(l *Landing) {
	if l.Verdict != Verified {
		return
	}
	b, _ := s.State.Bundle(l.Bundle)
	broken := slices.ContainsFunc(s.seen.Targets, func(t TargetSeen) bool { return t.Ready == Broken && t.Is(b) })
	switch {
	case broken:
		s.stopSoak(l)
	case l.Since == nil:
		l.Since = &s.now
	}
}

// fail ends a landing with a bad verdict. Its bundle goes into quarantine, and the one
// before it is to be written. A rollback that fails is left to people: what it brought
// back was verified once, and there is no reason why anything else would work.
func (s *stageRound) fail(l *Landing, why string) {
	l.Verdict, l.VerdictAt, l.Reason = Failed, &s.now, why
	s.warn(s.spec.Name, sluicev1.StageFailedReason, "%s failed in %s: %s", s.name(l.Bundle), s.spec.Name, why)
	if l.Kind == sluicev1.LandingRollback {
		return
	}
	s.quarantine(l, why)
	if s.spec.OnFailure.Rollback == nil || *s.spec.OnFailure.Rollback {
		s.planRollback(l.Bundle, why)
	}
}

// planRollback notes what a stage is given back in place of a bundle that failed.
func (s *stageRound) planRollback(failed, why string) {
	back := s.state.verifiedBefore(func(id string) bool { return id != failed && s.State.quarantined(id) == nil })
	if back == "" {
		s.state.Writing = nil
		s.warn(s.spec.Name, sluicev1.NoRollbackTargetReason, "there is no bundle that was verified in %s before: %s stays", s.spec.Name, s.name(failed))
		return
	}
	s.state.Writing = &Writing{Bundle: back, Kind: sluicev1.LandingRollback, At: s.now, Reason: why}
}

// replanRollback chooses another bundle to go back to if the one that was chosen failed
// elsewhere in the meantime.
func (s *stageRound) replanRollback() {
	w, l := s.state.Writing, s.state.current()
	if w == nil || l == nil || w.Kind != sluicev1.LandingRollback || w.By != "" || s.State.quarantined(w.Bundle) == nil {
		return
	}
	s.planRollback(l.Bundle, w.Reason)
}

func (s *stageRound) quarantine(l *Landing, why string) {
	entry := Quarantine{Bundle: l.Bundle, Stage: s.spec.Name, Reason: why, At: s.now}
	if after := s.spec.OnFailure.Quarantine; after != nil {
		until := s.now.Add(after.Duration)
		entry.Until = &until
	}
	if q := s.State.quarantined(l.Bundle); q != nil {
		*q = entry
		return
	}
	s.State.Quarantine = append(s.State.Quarantine, entry)
}

// short is a commit as people read it.
func short(commit string) string { return commit[:min(len(commit), 8)] }
