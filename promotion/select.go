// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// desiredBundle is a bundle that a stage is to be given, and why.
type desiredBundle struct {
	bundle sluicev1.Bundle
	kind   sluicev1.LandingKind
	by     string // who asked for it; empty is nobody
	reason string
	// targets that it is to be written to next; nil are all of the first wave that lacks
	// it.
	targets []TargetObservation
}

func orSomebody(who string) string {
	if who == "" {
		return "somebody"
	}
	return who
}

// selector chooses what a stage is to be given next.
type selector struct{ stage *stage }

// wanted is the bundle that the stage is to be given next, nil if that is none, and what
// keeps it from being chosen.
func (s selector) wanted() (*desiredBundle, []sluicev1.Gate) {
	asked, closed := s.requested()
	if asked != nil {
		return s.stage.wants(*asked), nil
	}
	current, goesOn := s.unverifiedLanding()
	if goesOn && closed == "" {
		return s.nextWave(current)
	}
	id, gates := s.eligible()
	if id == "" {
		if closed != "" {
			gates = append([]sluicev1.Gate{gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", closed)}, gates...)
		}
		return nil, gates
	}
	if current != nil && current.Bundle != id && s.stage.isThere(current.Bundle) {
		gates = append(gates, s.verdictGate(current))
	}
	return s.stage.wants(Writing{Bundle: id, Kind: sluicev1.LandingPromotion}), append(gates, s.waveGates(id)...)
}

// waveGates wait for the targets of earlier waves that have a bundle already, whoever gave it to
// them, before it goes on to those that lack it.
func (s selector) waveGates(id string) []sluicev1.Gate {
	lacking := firstWave(s.stage.lacking(id))
	if len(lacking) == 0 {
		return nil
	}
	for _, t := range s.stage.seen.Targets {
		if t.Wave < lacking[0].Wave && !t.works() {
			return []sluicev1.Gate{gate(sluicev1.GateVerdict, time.Time{}, time.Time{}, "%s is not verified in the wave before: %s",
				s.stage.name(id), s.stage.onTarget(t, t.doubt()))}
		}
	}
	return nil
}

// requested is the rollback or the promotion that was asked for, nil if there is none, or if a
// person closed its pull request, which is said.
func (s selector) requested() (asked *Writing, closed string) {
	asked = s.stage.state.Pin
	if w := s.stage.state.Writing; w != nil && w.Kind == sluicev1.LandingRollback {
		asked = w
	}
	if asked == nil {
		return nil, ""
	}
	if closed = s.closed(asked.Bundle); closed != "" {
		return nil, closed
	}
	return asked, ""
}

// unverifiedLanding is the landing that has no verdict yet, nil if there is none that is worth one, and
// whether its bundle has waves to go.
func (s selector) unverifiedLanding() (l *Landing, goesOn bool) {
	l = s.stage.state.current()
	if l == nil || l.Verdict != "" || s.failedSince(l) {
		return nil, false
	}
	goesOn = l.Kind == sluicev1.LandingPromotion && !l.mayBePartial() && !s.stage.hasEverywhere(l.Bundle)
	if goesOn && s.closed(l.Bundle) != "" {
		return nil, false
	}
	return l, goesOn
}

// failedSince reports whether the bundle of a landing is in quarantine, and was not yet when a person
// asked for it: they may after the time of the quarantine, and it goes to all waves then.
func (s selector) failedSince(l *Landing) bool {
	q := s.stage.transition.State.excluding(s.stage.bundle(l.Bundle))
	return q != nil && (l.Asked == nil || !q.At.Before(*l.Asked))
}

// nextWave is what a bundle that is on its way through the waves is written to next: the
// rest of the wave that it is in or, if that is verified, the one after it.
func (s selector) nextWave(l *Landing) (*desiredBundle, []sluicev1.Gate) {
	lacking := s.stage.lacking(l.Bundle)
	wave := slices.MinFunc(lacking, func(a, b TargetObservation) int { return a.Wave - b.Wave }).Wave
	w := &desiredBundle{
		bundle: s.stage.bundle(l.Bundle), kind: l.Kind,
		targets: slices.DeleteFunc(lacking, func(t TargetObservation) bool { return t.Wave != wave }),
	}
	switch pr, p := s.stage.seen.PullRequest, s.stage.state.Proposal; {
	case s.verifiedBefore(wave):
		return w, nil
	case pr != nil && pr.Open && p != nil && p.Bundle == l.Bundle: // an object that is being looked at again closes nothing
		return w, []sluicev1.Gate{s.verdictGate(l)}
	}
	return nil, nil
}

// verifiedBefore reports whether all targets of the waves before one are verified.
func (s selector) verifiedBefore(wave int) bool {
	return !slices.ContainsFunc(s.stage.seen.Targets, func(t TargetObservation) bool {
		return t.Wave < wave && !t.works()
	})
}

func (s selector) verdictGate(l *Landing) sluicev1.Gate {
	since := l.At
	return gate(sluicev1.GateVerdict, since, time.Time{}, "%s is not verified yet: %s", s.stage.name(l.Bundle), s.stage.evidence(l))
}

// eligible is the bundle that the stage would be promoted to, empty if there is none, and
// what it waits for.
func (s selector) eligible() (string, []sluicev1.Gate) {
	switch {
	case s.stage.spec.After != nil:
		return s.fromUpstream()
	case s.stage.transition.Candidate == nil || s.stage.hasEverywhere(s.stage.transition.Candidate.ID):
		return "", s.candidateGates()
	}
	candidate := upstreamBundle{bundle: s.stage.transition.Candidate.ID, at: s.stage.transition.State.Candidate.Since}
	if why := cmp.Or(s.excluded(candidate.bundle), s.replacedSince(candidate)); why != "" {
		return "", []sluicev1.Gate{gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", why)}
	}
	return s.stage.transition.Candidate.ID, nil
}

// candidateGates wait for a bundle that is newer than the last one; there are none if nothing of one
// is known.
func (s selector) candidateGates() []sluicev1.Gate {
	if s.stage.transition.Waiting == "" {
		return nil
	}
	return []sluicev1.Gate{gate(sluicev1.GateUpstream, time.Time{}, time.Time{}, "%s", s.stage.transition.Waiting)}
}

// excluded says why a bundle is not promoted by itself; empty is no reason.
func (s selector) excluded(id string) string {
	if q := s.stage.transition.State.excluding(s.stage.bundle(id)); q != nil {
		return fmt.Sprintf("%s is in quarantine: %s; `sluice pipeline lift` ends that", s.stage.name(q.Bundle), q.Reason)
	}
	return s.closed(id)
}

// closed says that a person closed the pull request of a bundle, empty if nobody did. That
// ends what was asked for before, and what follows by itself, alike.
func (s selector) closed(id string) string {
	for _, i := range s.stage.state.Ignored {
		if i.Bundle == id {
			return fmt.Sprintf("%s: %s closed pull request #%d; reopen it, or `sluice pipeline promote`",
				s.stage.name(id), orSomebody(i.By), i.Number)
		}
	}
	return ""
}

// replacedSince says that the stage had a bundle, and that another one replaced it after it
// was chosen: nothing is promoted twice for the same reason. Empty means that none did. Who
// puts it back into some targets by a commit asks for no more than that.
func (s selector) replacedSince(p upstreamBundle) string {
	landings := s.stage.state.Landings
	for len(landings) > 0 && landings[0].Bundle == p.bundle && landings[0].Kind == sluicev1.LandingManual {
		landings = landings[1:]
	}
	if len(landings) == 0 || landings[0].Bundle == p.bundle || p.at.After(landings[0].At) ||
		!slices.ContainsFunc(landings, func(l Landing) bool { return l.Bundle == p.bundle }) {
		return ""
	}
	return fmt.Sprintf("%s was here, and %s took it out; `sluice pipeline promote` brings it back",
		s.stage.name(p.bundle), landings[0].origin())
}

// fromUpstream is the newest bundle that the stages before let through, and that is newer
// than what the stage has, and what the next one waits for.
func (s selector) fromUpstream() (string, []sluicev1.Gate) {
	u := s.stage.upstream()
	var passed [][]upstreamBundle
	var gates []sluicev1.Gate
	for _, name := range s.stage.spec.After.Stages {
		through, waits := u.bundlesFrom(name)
		passed = append(passed, through)
		gates = append(gates, waits...)
	}
	best, barred := upstreamBundle{}, upstreamBundle{}
	for _, p := range u.combine(passed) {
		into := &best
		if s.excluded(p.bundle) != "" {
			into = &barred
		}
		if into.bundle == "" || p.newerThan(*into) {
			*into = p
		}
	}
	isNews := func(p upstreamBundle) bool {
		return p.bundle != "" && !s.stage.hasEverywhere(p.bundle) && !u.hasNewer(p)
	}
	if !isNews(best) {
		if isNews(barred) {
			gates = append(gates, gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", s.excluded(barred.bundle)))
		}
		if taken := u.rolledBackGate(isNews); taken != nil {
			gates = append(gates, *taken)
		}
		return "", gates
	}
	if why := s.replacedSince(best); why != "" {
		return "", append(gates, gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", why))
	}
	if slices.ContainsFunc(gates, func(g sluicev1.Gate) bool { return g.Type == sluicev1.GateUpstream || g.Type == sluicev1.GateSoak }) {
		gates = nil // what comes after it does not hold it up
	}
	return best.bundle, gates
}
