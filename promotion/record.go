// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// contentRecorder notes which bundle a stage has: who commits to it, and how, makes no difference.
type contentRecorder struct{ stage *stage }

// record notes a landing where targets have a bundle that they did not have before. While a
// bundle goes from wave to wave, one more target that has it is no landing of its own. What
// the pipeline wrote comes first: who committed to another target meanwhile comes after it.
func (r contentRecorder) record() {
	s := r.stage
	s.state = s.state.forgetOthers(s.seen.Targets)
	isFirst, changed := len(s.state.Landings) == 0, r.changed()
	slices.SortStableFunc(changed, func(a, b changedTarget) int { return cmp.Compare(r.rank(a), r.rank(b)) })
	landed := map[string]bool{s.currentBundle(): !slices.ContainsFunc(changed, func(t changedTarget) bool { return t.putBack })}
	for _, t := range changed {
		if !landed[t.bundle] {
			landed[t.bundle] = true
			r.land(t, isFirst)
		}
	}
	if w := s.state.Writing; w != nil && s.from().hasEverywhere(w.Bundle) {
		s.state.Writing = nil
	}
	if pin := s.state.Pin; pin != nil && s.from().hasEverywhere(pin.Bundle) {
		s.state.Pin = nil // it was on its way when it was asked for
	}
}

// changedTarget is a target that has another bundle than before, or the same again: what was
// written meanwhile is gone.
type changedTarget struct {
	seen    *TargetObservation
	bundle  string
	putBack bool
}

// changed are the targets whose content somebody changed. One that is new in the stage gets
// what that has.
func (r contentRecorder) changed() []changedTarget {
	s := r.stage
	var changed []changedTarget
	hadAny := len(s.state.Has) > 0
	for i := range s.seen.Targets {
		t := &s.seen.Targets[i]
		id := s.bundleOf(t.Content)
		had, known := s.state.Has[t.Name]
		putBack := id == had && r.isGone(t)
		if id == "" || id == had && !putBack {
			continue
		}
		s.state = s.state.withTarget(t.Name, id)
		if known || !hadAny {
			changed = append(changed, changedTarget{t, id, putBack})
		}
	}
	return changed
}

// rank is 0 for what the pipeline wrote, and 1 for what others did.
func (r contentRecorder) rank(t changedTarget) int {
	if r.kindOf(t.bundle, t.seen) == sluicev1.LandingManual {
		return 1
	}
	return 0
}

// isGone reports whether what was just written to a target is not there any more.
func (r contentRecorder) isGone(t *TargetObservation) bool {
	w := r.stage.state.Writing
	return w != nil && t.Wrote == w.Bundle && !t.Content.Is(r.stage.bundle(w.Bundle))
}

// land notes that a bundle is in the stage from now on, in the place of another one. At the
// first look at a stage it may have been there before.
func (r contentRecorder) land(t changedTarget, isFirst bool) {
	s := r.stage
	r.endLanding(s.state.current())
	l := Landing{
		Bundle: t.bundle, At: s.now, Kind: r.kindOf(t.bundle, t.seen), Commit: t.seen.Commit, By: cmp.Or(r.mergedBy(t.bundle), t.seen.By),
	}
	if w := s.state.Writing; w != nil && w.Bundle == t.bundle {
		l.By = cmp.Or(w.By, l.By)
	} else {
		l.Found = isFirst && s.state.Proposal == nil
		r.supersedeWriting()
	}
	if pin := s.state.Pin; pin != nil && pin.Bundle == t.bundle {
		l.Asked, s.state.Pin = &pin.At, nil
	}
	s.state.Landings = slices.Insert(s.state.Landings, 0, l)
	r.announce(l)
	r.override(l)
}

// mergedBy is who merged the pull request of a bundle, empty if that did not happen or is not
// known: the author of a squashed commit is the one of the pull request.
func (r contentRecorder) mergedBy(bundle string) string {
	pr, p := r.stage.seen.PullRequest, r.stage.state.Proposal
	if pr == nil || p == nil || !pr.Merged || p.Bundle != bundle || !p.isOf(pr) {
		return ""
	}
	return pr.MergedBy
}

// supersedeWriting ends what was about to be written when another bundle landed. Whether it was
// there in between is not known; it counts as if it was, since the later commit wins.
func (r contentRecorder) supersedeWriting() {
	s := r.stage
	if w := s.state.Writing; w != nil && w.Kind == sluicev1.LandingPromotion && w.Bundle != s.currentBundle() {
		s.state.Landings = slices.Insert(s.state.Landings, 0, Landing{
			Bundle: w.Bundle, At: s.now, Kind: w.Kind, By: w.By, Verdict: VerdictReplaced,
			VerdictAt: &s.now, Reason: "another commit came at the same time",
		})
	}
	s.state.Writing = nil
}

func (r contentRecorder) kindOf(id string, at *TargetObservation) sluicev1.LandingKind {
	switch w, p := r.stage.state.Writing, r.stage.state.Proposal; {
	case w != nil && w.Bundle == id:
		return w.Kind
	case p != nil && p.Bundle == id:
		return p.Kind
	case at.Ours:
		return sluicev1.LandingPromotion
	}
	return sluicev1.LandingManual
}

// endLanding ends a landing: its bundle is not in the stage any more. What people agreed to before it
// has happened, and who wants the bundle back has to ask them again.
func (r contentRecorder) endLanding(l *Landing) {
	if l == nil {
		return
	}
	l.stopSoak(r.stage.now)
	if l.Verdict == "" {
		l.Verdict, l.VerdictAt = VerdictReplaced, &r.stage.now
	}
	happened := func(c Consent) bool { return c.Bundle == l.Bundle && !l.At.Before(c.At) }
	r.stage.state.Approvals = slices.DeleteFunc(r.stage.state.Approvals, happened)
	r.stage.state.Overrides = slices.DeleteFunc(r.stage.state.Overrides, happened)
}

func (r contentRecorder) announce(l Landing) {
	switch l.Kind {
	case sluicev1.LandingRollback:
		r.stage.addLandingEvent(l, "RolledBack", "%s has %s again", r.stage.spec.Name, r.stage.name(l.Bundle))
	case sluicev1.LandingManual:
		r.stage.addLandingEvent(l, "Landed", "%s has %s, by %s", r.stage.spec.Name, r.stage.name(l.Bundle), l.origin())
	default:
		r.stage.addLandingEvent(l, "Landed", "%s has %s", r.stage.spec.Name, r.stage.name(l.Bundle))
	}
}

// override notes that somebody put a bundle back that is in quarantine. They win, until
// it fails again.
func (r contentRecorder) override(l Landing) {
	q := r.stage.quarantined(l.Bundle)
	if q == nil || l.Kind != sluicev1.LandingManual || len(r.stage.state.Landings) == 1 {
		return
	}
	q.Overridden = &r.stage.now
	r.stage.warn(sluicev1.QuarantineOverriddenReason, "%s put %s back into %s, which is in quarantine since %s: %s",
		l.origin(), r.stage.name(l.Bundle), r.stage.spec.Name, q.At.UTC().Format(time.RFC3339), q.Reason)
}

// origin is the commit by which a bundle landed, and its author, for people. Tags have none.
func (l Landing) origin() string {
	if l.Commit == "" {
		return orSomebody(l.By)
	}
	return "commit " + shorten.Commit(l.Commit) + " of " + orSomebody(l.By)
}
