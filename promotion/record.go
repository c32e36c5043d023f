// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// judge notes what a stage has, and comes to a verdict on it.
func judge(s stageTransition) stageDecision {
	if s.seen.isUnseen() {
		return s.unchanged()
	}
	return s.inSequence(recordContent, verify)
}

// recordContent notes a landing where targets have a bundle that they did not have before: who commits
// to a stage, and how, makes no difference. While a bundle goes from wave to wave, one more target that
// has it is no landing of its own. What the pipeline wrote comes first: who committed to another target
// meanwhile comes after it.
func recordContent(s stageTransition) stageDecision {
	d, changed := changedTargets(s)
	slices.SortStableFunc(changed, func(a, b changedTarget) int { return cmp.Compare(a.rank(s.prev), b.rank(s.prev)) })
	landed := map[string]bool{s.prev.currentBundle(): !slices.ContainsFunc(changed, func(t changedTarget) bool { return t.putBack })}
	for _, t := range changed {
		if !landed[t.bundle] {
			landed[t.bundle] = true
			d = s.then(d, t.recordLanding)
		}
	}
	return s.then(d, endWritten)
}

// endWritten ends what was to be written once all targets have it.
func endWritten(s stageTransition) stageDecision {
	d := s.unchanged()
	if w := s.prev.Writing; w != nil && s.hasEverywhere(w.Bundle) {
		d.state.Writing = nil
	}
	if pin := s.prev.Pin; pin != nil && s.hasEverywhere(pin.Bundle) {
		d.state.Pin = nil // it was on its way when it was asked for
	}
	return d
}

// changedTarget is a target that has another bundle than before, or the same again: what was
// written meanwhile is gone.
type changedTarget struct {
	seen    TargetObservation
	bundle  string
	putBack bool
	first   bool // the stage had nothing, as far as that is known
}

// changedTargets are the targets whose content somebody changed, and the decision to keep what all have. One
// that is new in the stage gets what that has.
func changedTargets(s stageTransition) (stageDecision, []changedTarget) {
	d := s.unchanged()
	d.state = s.prev.forgetOthers(s.seen.Targets)
	var changed []changedTarget
	hadAny, known := len(d.state.Has) > 0, s.pipeline
	for _, t := range s.seen.Targets {
		found, ok := known.identify(t.Content, s.prev.expected(), s.newest)
		if !ok {
			continue
		}
		d.found = append(d.found, found)
		known = known.withBundle(found, s.now)
		had, hadSome := d.state.Has[t.Name]
		putBack := found.ID == had && isGone(t, s.prev.Writing, known)
		if found.ID == had && !putBack {
			continue
		}
		d.state = d.state.withTarget(t.Name, found.ID)
		if hadSome || !hadAny {
			changed = append(changed, changedTarget{seen: t, bundle: found.ID, putBack: putBack, first: len(s.prev.Landings) == 0})
		}
	}
	return d, changed
}

// rank is 0 for what the pipeline wrote, and 1 for what others did.
func (t changedTarget) rank(stage StageState) int {
	if t.kind(stage) == sluicev1.LandingManual {
		return 1
	}
	return 0
}

// isGone reports whether what was just written to a target is not there any more.
func isGone(t TargetObservation, w *Writing, known State) bool {
	if w == nil || t.Wrote != w.Bundle {
		return false
	}
	written, _ := known.Bundle(w.Bundle)
	return !t.Content.Is(written)
}

// recordLanding notes that a bundle is in the stage from now on, in the place of another one. At the
// first look at a stage it may have been there before.
func (t changedTarget) recordLanding(s stageTransition) stageDecision {
	d := stageDecision{state: s.prev.endLanding(s.now)}
	l := Landing{
		Bundle: t.bundle, At: s.now, Kind: t.kind(s.prev), Commit: t.seen.Commit,
		By: cmp.Or(mergedBy(s.seen.PullRequest, s.prev.Proposal, t.bundle), t.seen.By),
	}
	if w := s.prev.Writing; w != nil && w.Bundle == t.bundle {
		l.By = cmp.Or(w.By, l.By)
	} else {
		l.Found = t.first && s.prev.Proposal == nil
		d.state = d.state.supersedeWriting(s.now)
	}
	if pin := s.prev.Pin; pin != nil && pin.Bundle == t.bundle {
		l.Asked, d.state.Pin = &pin.At, nil
	}
	d.state = d.state.withLanding(l)
	announce(&d, s, l)
	return s.then(d, overrideQuarantine)
}

// mergedBy is who merged the pull request of a bundle, empty if that did not happen or is not
// known: the author of a squashed commit is the one of the pull request.
func mergedBy(pr *pullrequest.PullRequest, p *Proposal, bundle string) string {
	if pr == nil || p == nil || !pr.Merged || p.Bundle != bundle || !p.isOf(pr) {
		return ""
	}
	return pr.MergedBy
}

// supersedeWriting ends what was about to be written when another bundle landed. Whether it was
// there in between is not known; it counts as if it was, since the later commit wins.
func (s StageState) supersedeWriting(now time.Time) StageState {
	if w := s.Writing; w != nil && w.Kind == sluicev1.LandingPromotion && w.Bundle != s.currentBundle() {
		s = s.withLanding(Landing{
			Bundle: w.Bundle, At: now, Kind: w.Kind, By: w.By, Verdict: VerdictReplaced,
			VerdictAt: &now, Reason: "another commit came at the same time",
		})
	}
	s.Writing = nil
	return s
}

// kind says how the bundle came into a stage.
func (t changedTarget) kind(stage StageState) sluicev1.LandingKind {
	switch w, p := stage.Writing, stage.Proposal; {
	case w != nil && w.Bundle == t.bundle:
		return w.Kind
	case p != nil && p.Bundle == t.bundle:
		return p.Kind
	case t.seen.Ours:
		return sluicev1.LandingPromotion
	}
	return sluicev1.LandingManual
}

// endLanding ends the last landing: its bundle is not in the stage any more. What people agreed to before
// it has happened, and who wants the bundle back has to ask them again.
func (s StageState) endLanding(now time.Time) StageState {
	l := s.current()
	if l == nil {
		return s
	}
	ended := l.stopSoak(now)
	if ended.Verdict == "" {
		ended.Verdict, ended.VerdictAt = VerdictReplaced, &now
	}
	happened := func(c Consent) bool { return c.Bundle == l.Bundle && !l.At.Before(c.At) }
	s = s.withCurrent(ended)
	s.Approvals = slices.DeleteFunc(slices.Clone(s.Approvals), happened)
	s.Overrides = slices.DeleteFunc(slices.Clone(s.Overrides), happened)
	return s
}

// announce tells people of a landing.
func announce(d *stageDecision, s stageTransition, l Landing) {
	switch l.Kind {
	case sluicev1.LandingRollback:
		d.addLandingEvent(l, "RolledBack", "%s has %s again", s.spec.Name, s.name(l.Bundle))
	case sluicev1.LandingManual:
		d.addLandingEvent(l, "Landed", "%s has %s, by %s", s.spec.Name, s.name(l.Bundle), l.origin())
	default:
		d.addLandingEvent(l, "Landed", "%s has %s", s.spec.Name, s.name(l.Bundle))
	}
}

// overrideQuarantine notes that somebody put a bundle back that is in quarantine. They win, until
// it fails again.
func overrideQuarantine(s stageTransition) stageDecision {
	d, l := s.unchanged(), s.prev.current()
	q := s.pipeline.quarantined(l.Bundle)
	if q == nil || l.Kind != sluicev1.LandingManual || len(s.prev.Landings) == 1 {
		return d
	}
	q.Overridden = &s.now
	d.quarantine = []Quarantine{*q}
	d.warn(sluicev1.QuarantineOverriddenReason, "%s put %s back into %s, which is in quarantine since %s: %s",
		l.origin(), s.name(l.Bundle), s.spec.Name, q.At.UTC().Format(time.RFC3339), q.Reason)
	return d
}
