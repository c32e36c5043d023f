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

// choice is what a stage is to be given next, nil if that is nothing, and what keeps it from being
// chosen.
type choice struct {
	bundle *desiredBundle
	waits  waiting
}

// wants is the choice of what is to be written, of nothing if the stage has it.
func wants(s stageTransition, w Writing) *desiredBundle {
	if s.hasEverywhere(w.Bundle) {
		return nil
	}
	return &desiredBundle{bundle: s.bundle(w.Bundle), kind: w.Kind, by: w.By, reason: w.Reason}
}

// choose is the bundle that the stage is to be given next, and what keeps it from being chosen.
func choose(s stageTransition) choice {
	if s.seen.isUnseen() {
		return choice{waits: waitFor(gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", s.seen.Problem))}
	}
	asked, closed := requested(s)
	if asked != nil {
		return choice{bundle: wants(s, *asked)}
	}
	current, goesOn := unverifiedLanding(s)
	if goesOn && closed == "" {
		return nextWave(s, *current)
	}
	id, waits := eligible(s)
	if id == "" {
		return choice{waits: contentGate(closed).and(waits)}
	}
	if current != nil && current.Bundle != id && s.seen.isThere(s.bundle(current.Bundle)) {
		waits = waits.and(verdictGate(s, *current))
	}
	return choice{bundle: wants(s, Writing{Bundle: id, Kind: sluicev1.LandingPromotion}), waits: waits.and(waveGate(s, id))}
}

// waveGate waits for the targets of earlier waves that have a bundle already, whoever gave it to
// them, before it goes on to those that lack it.
func waveGate(s stageTransition, id string) waiting {
	lacking := firstWave(s.seen.lacking(s.bundle(id)))
	if len(lacking) == 0 {
		return waiting{}
	}
	for _, t := range s.seen.Targets {
		if t.Wave < lacking[0].Wave && !t.works() {
			return waitFor(gate(sluicev1.GateVerdict, time.Time{}, time.Time{}, "%s is not verified in the wave before: %s",
				s.name(id), t.says(t.whyNotVerified())))
		}
	}
	return waiting{}
}

// requested is the rollback or the promotion that was asked for, nil if there is none, or if a
// person closed its pull request, which is said.
func requested(s stageTransition) (asked *Writing, closed string) {
	asked = s.prev.Pin
	if w := s.prev.Writing; w != nil && w.Kind == sluicev1.LandingRollback {
		asked = w
	}
	if asked == nil {
		return nil, ""
	}
	if closed = closedByPerson(s, asked.Bundle); closed != "" {
		return nil, closed
	}
	return asked, ""
}

// unverifiedLanding is the landing that has no verdict yet, nil if there is none that is worth one, and
// whether its bundle has waves to go.
func unverifiedLanding(s stageTransition) (l *Landing, goesOn bool) {
	l = s.prev.current()
	if l == nil || l.Verdict != "" || failedSince(s, *l) {
		return nil, false
	}
	goesOn = l.Kind == sluicev1.LandingPromotion && !l.mayBePartial() && !s.hasEverywhere(l.Bundle)
	if goesOn && closedByPerson(s, l.Bundle) != "" {
		return nil, false
	}
	return l, goesOn
}

// failedSince reports whether the bundle of a landing is in quarantine, and was not yet when a person
// asked for it: they may after the time of the quarantine, and it goes to all waves then.
func failedSince(s stageTransition, l Landing) bool {
	q := s.pipeline.excluding(s.bundle(l.Bundle))
	return q != nil && (l.Asked == nil || !q.At.Before(*l.Asked))
}

// nextWave is what a bundle that is on its way through the waves is written to next: the
// rest of the wave that it is in or, if that is verified, the one after it.
func nextWave(s stageTransition, l Landing) choice {
	lacking := s.seen.lacking(s.bundle(l.Bundle))
	wave := slices.MinFunc(lacking, func(a, b TargetObservation) int { return a.Wave - b.Wave }).Wave
	w := &desiredBundle{
		bundle: s.bundle(l.Bundle), kind: l.Kind,
		targets: slices.DeleteFunc(lacking, func(t TargetObservation) bool { return t.Wave != wave }),
	}
	switch pr, p := s.seen.PullRequest, s.prev.Proposal; {
	case s.seen.worksBefore(wave):
		return choice{bundle: w}
	case pr != nil && pr.Open && p != nil && p.Bundle == l.Bundle: // an object that is being looked at again closes nothing
		return choice{bundle: w, waits: verdictGate(s, l)}
	}
	return choice{}
}

func verdictGate(s stageTransition, l Landing) waiting {
	return waitFor(gate(sluicev1.GateVerdict, l.At, time.Time{}, "%s is not verified yet: %s",
		s.name(l.Bundle), s.seen.whyUnverified(s.spec.Name, s.bundle(l.Bundle))))
}

// eligible is the bundle that the stage would be promoted to, empty if there is none, and
// what it waits for.
func eligible(s stageTransition) (string, waiting) {
	if s.spec.After != nil {
		return fromUpstream(s)
	}
	if s.candidate == nil || s.hasEverywhere(s.candidate.ID) {
		return "", upstreamGate(s.noCandidate)
	}
	candidate := upstreamBundle{bundle: s.candidate.ID, at: s.pipeline.Candidate.Since}
	if why := cmp.Or(excluded(s, candidate.bundle), replacedSince(s, candidate)); why != "" {
		return "", contentGate(why)
	}
	return candidate.bundle, waiting{}
}

// upstreamGate waits for a bundle that is newer than the last one; there is nothing to wait for if nothing
// of one is known.
func upstreamGate(why string) waiting {
	if why == "" {
		return waiting{}
	}
	return waitFor(gate(sluicev1.GateUpstream, time.Time{}, time.Time{}, "%s", why))
}

// excluded says why a bundle is not promoted by itself; empty is no reason.
func excluded(s stageTransition, id string) string {
	if q := s.pipeline.excluding(s.bundle(id)); q != nil {
		return fmt.Sprintf("%s is in quarantine: %s; `sluice pipeline lift` ends that", s.name(q.Bundle), q.Reason)
	}
	return closedByPerson(s, id)
}

// closedByPerson says that a person closed the pull request of a bundle, empty if nobody did. That
// ends what was asked for before, and what follows by itself, alike.
func closedByPerson(s stageTransition, id string) string {
	for _, i := range s.prev.Ignored {
		if i.Bundle == id {
			return fmt.Sprintf("%s: %s closed pull request #%d; reopen it, or `sluice pipeline promote`",
				s.name(id), orSomebody(i.By), i.Number)
		}
	}
	return ""
}

// replacedSince says that the stage had a bundle, and that another one replaced it after it
// was chosen: nothing is promoted twice for the same reason. Empty means that none did. Who
// puts it back into some targets by a commit asks for no more than that.
func replacedSince(s stageTransition, p upstreamBundle) string {
	landings := s.prev.Landings
	for len(landings) > 0 && landings[0].Bundle == p.bundle && landings[0].Kind == sluicev1.LandingManual {
		landings = landings[1:]
	}
	if len(landings) == 0 || landings[0].Bundle == p.bundle || p.at.After(landings[0].At) ||
		!slices.ContainsFunc(landings, func(l Landing) bool { return l.Bundle == p.bundle }) {
		return ""
	}
	return fmt.Sprintf("%s was here, and %s took it out; `sluice pipeline promote` brings it back",
		s.name(p.bundle), landings[0].origin())
}

// fromUpstream is the newest bundle that the stages before let through, and that is newer
// than what the stage has, and what the next one waits for.
func fromUpstream(s stageTransition) (string, waiting) {
	var passed [][]upstreamBundle
	var waits waiting
	for _, name := range s.spec.After.Stages {
		through, waitsHere := bundlesFrom(s, name)
		passed, waits = append(passed, through), waits.and(waitsHere)
	}
	best, barred := upstreamBundle{}, upstreamBundle{}
	for _, p := range combine(passed, s.spec.After.Policy) {
		into := &best
		if excluded(s, p.bundle) != "" {
			into = &barred
		}
		if into.bundle == "" || p.newerThan(*into) {
			*into = p
		}
	}
	isNews := func(p upstreamBundle) bool {
		return p.bundle != "" && !s.hasEverywhere(p.bundle) && !hasNewer(s, p)
	}
	if !isNews(best) {
		if isNews(barred) {
			waits = waits.and(contentGate(excluded(s, barred.bundle)))
		}
		return "", waits.and(rolledBackGate(s, isNews))
	}
	if why := replacedSince(s, best); why != "" {
		return "", waits.and(contentGate(why))
	}
	return best.bundle, waiting{nextCheck: waits.nextCheck} // what comes after it does not hold it up
}
