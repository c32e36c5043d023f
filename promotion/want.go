// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// want is a bundle that a stage is to be given, and why.
type want struct {
	bundle sluicev1.Bundle
	kind   sluicev1.LandingKind
	by     string // who asked for it; empty is nobody
	reason string
	// targets that it is to be written to next; nil are all of the first wave that lacks
	// it.
	targets []TargetSeen
}

// wanted is the bundle that the stage is to be given next, nil if that is none, and what
// keeps it from being chosen.
func (s *stageRound) wanted() (*want, []sluicev1.Gate) {
	current := s.state.current()
	switch w, pin := s.state.Writing, s.state.Pin; {
	case w != nil && w.Kind == sluicev1.LandingRollback:
		return s.wants(*w), nil
	case pin != nil:
		return s.wants(*pin), nil
	case current != nil && current.Verdict == "" && current.Kind == sluicev1.LandingPromotion && !s.hasEverywhere(current.Bundle):
		return s.nextWave(current), nil
	}
	id, gates := s.eligible()
	if id == "" {
		return nil, gates
	}
	if current != nil && current.Verdict == "" && current.Bundle != id && s.isThere(current.Bundle) {
		gates = append(gates, s.verdictGate(current))
	}
	return s.wants(Writing{Bundle: id, Kind: sluicev1.LandingPromotion}), gates
}

func (s *stageRound) wants(w Writing) *want {
	b, _ := s.State.Bundle(w.Bundle)
	if s.hasEverywhere(w.Bundle) {
		return nil
	}
	return &want{bundle: b, kind: w.Kind, by: w.By, reason: w.Reason}
}

// isThere reports whether any target has a bundle.
func (s *stageRound) isThere(id string) bool { return len(s.lacking(id)) < len(s.seen.Targets) }

// nextWave is what a bundle that is on its way through the waves is written to next: the
// rest of the wave that it is in or, if that is verified, the one after it.
func (s *stageRound) nextWave(l *Landing) *want {
	lacking := s.lacking(l.Bundle)
	wave := slices.MinFunc(lacking, func(a, b TargetSeen) int { return a.Wave - b.Wave }).Wave
	i := slices.Index(s.waves(), wave)
	if i > 0 && !s.wavesVerified(l, i) {
		return nil
	}
	b, _ := s.State.Bundle(l.Bundle)
	return &want{bundle: b, kind: l.Kind, targets: slices.DeleteFunc(lacking, func(t TargetSeen) bool { return t.Wave != wave })}
}

// wavesVerified reports whether all targets of the first n waves are.
func (s *stageRound) wavesVerified(l *Landing, n int) bool {
	waves := s.waves()[:n]
	return len(l.Waves) >= n && !slices.ContainsFunc(s.seen.Targets, func(t TargetSeen) bool {
		return slices.Contains(waves, t.Wave) && (t.Ready != Ready || t.Proof != Passed)
	})
}

func (s *stageRound) verdictGate(l *Landing) sluicev1.Gate {
	since := l.At
	return gate(sluicev1.GateVerdict, since, time.Time{}, "%s is not verified yet: %s", s.name(l.Bundle), s.evidence(l))
}

// evidence is what a landing without a verdict waits for.
func (s *stageRound) evidence(l *Landing) string {
	b, _ := s.State.Bundle(l.Bundle)
	for _, t := range s.seen.Targets {
		switch {
		case !t.Is(b):
		case t.Ready != Ready && t.Why != "":
			return s.of(t, t.Why)
		case t.Ready == Ready && t.Proof != Passed && t.Evidence != "":
			return s.of(t, t.Evidence)
		}
	}
	return "its objects are not Ready with it yet"
}

// eligible is the bundle that the stage would be promoted to, empty if there is none, and
// what it waits for.
func (s *stageRound) eligible() (string, []sluicev1.Gate) {
	switch {
	case s.spec.After != nil:
		return s.fromUpstream()
	case s.Candidate == nil:
		return "", []sluicev1.Gate{gate(sluicev1.GateUpstream, time.Time{}, time.Time{}, "%s", s.Waiting)}
	case s.hasEverywhere(s.Candidate.ID):
		return "", nil
	}
	candidate := pass{bundle: s.Candidate.ID, at: s.State.Candidate.Since}
	if why := cmp.Or(s.excluded(candidate.bundle), s.tookOut(candidate)); why != "" {
		return "", []sluicev1.Gate{gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", why)}
	}
	return s.Candidate.ID, nil
}

// excluded says why a bundle is not promoted by itself; empty is no reason.
func (s *stageRound) excluded(id string) string {
	if q := s.State.quarantined(id); q != nil && q.Overridden == nil {
		return fmt.Sprintf("%s is in quarantine: %s; `sluice pipeline lift` ends that", s.name(id), q.Reason)
	}
	for _, i := range s.state.Ignored {
		if i.Bundle == id {
			return fmt.Sprintf("%s: %s closed pull request #%d; reopen it, or `sluice pipeline promote`", s.name(id), orSomebody(i.By), i.Number)
		}
	}
	return ""
}

// tookOut says that the stage had a bundle, which another one replaced since it was
// chosen: nothing is promoted twice for the same reason. Empty means that it did not.
func (s *stageRound) tookOut(p pass) string {
	current := s.state.current()
	if current == nil || current.Bundle == p.bundle || p.at.After(current.At) ||
		!slices.ContainsFunc(s.state.Landings, func(l Landing) bool { return l.Bundle == p.bundle }) {
		return ""
	}
	return fmt.Sprintf("%s was here, and commit %s of %s took it out; `sluice pipeline promote` brings it back",
		s.name(p.bundle), short(current.Commit), orSomebody(current.By))
}

func orSomebody(who string) string {
	if who == "" {
		return "somebody"
	}
	return who
}

// pass is a bundle that an earlier stage lets through.
type pass struct {
	bundle string
	at     time.Time // of its last landing there
	rank   int       // of that landing, the newest first
}

// newerThan reports whether a bundle came later than another one.
func (p pass) newerThan(other pass) bool {
	return p.at.After(other.at) || p.at.Equal(other.at) && p.rank < other.rank
}

// fromUpstream is the newest bundle that the stages before let through, and that is newer
// than what the stage has, and what the next one waits for.
func (s *stageRound) fromUpstream() (string, []sluicev1.Gate) {
	var passed [][]pass
	var gates []sluicev1.Gate
	for _, name := range s.spec.After.Stages {
		through, waits := s.passes(name)
		passed = append(passed, through)
		gates = append(gates, waits...)
	}
	best := pass{}
	for _, p := range s.combine(passed) {
		if s.excluded(p.bundle) == "" && (best.bundle == "" || p.newerThan(best)) {
			best = p
		}
	}
	if best.bundle == "" || s.hasEverywhere(best.bundle) || s.hasNewer(best) {
		return "", gates
	}
	if why := s.tookOut(best); why != "" {
		return "", append(gates, gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", why))
	}
	if slices.ContainsFunc(gates, func(g sluicev1.Gate) bool { return g.Type == sluicev1.GateUpstream || g.Type == sluicev1.GateSoak }) {
		gates = nil // what comes after it does not hold it up
	}
	return best.bundle, gates
}

// passes are the bundles that a stage lets through, and what its newest one still waits
// for.
func (s *stageRound) passes(name string) ([]pass, []sluicev1.Gate) {
	soak := time.Duration(0)
	if s.spec.After.Soak != nil {
		soak = s.spec.After.Soak.Duration
	}
	var through []pass
	var gates []sluicev1.Gate
	for i, l := range s.State.Stages[name].Landings {
		if l.Kind == sluicev1.LandingRollback {
			continue // it was there before
		}
		switch soaked := s.soakedIn(name, l.Bundle); {
		case l.Verdict == Verified && soaked >= soak:
			through = append(through, pass{l.Bundle, l.At, i})
		case i > 0:
		case l.Verdict == "":
			gates = append(gates, gate(sluicev1.GateUpstream, l.At, time.Time{}, "%s is not verified in %s yet", s.name(l.Bundle), name))
		case l.Verdict == Verified:
			gates = append(gates, s.soakGate(name, l, soak-soaked))
		}
	}
	return through, gates
}

func (s *stageRound) soakGate(name string, l Landing, left time.Duration) sluicev1.Gate {
	since := l.At
	if l.VerdictAt != nil {
		since = *l.VerdictAt
	}
	if l.Since == nil {
		return gate(sluicev1.GateSoak, since, time.Time{}, "%s soaks in %s for another %s once it is Ready there again", s.name(l.Bundle), name, left)
	}
	until := s.now.Add(left)
	s.lookAgain(until, s.now)
	return gate(sluicev1.GateSoak, since, until, "%s soaks in %s until %s", s.name(l.Bundle), name, until.UTC().Format(time.RFC3339))
}

// soakedIn is for how long a bundle has been in a stage, all its landings together.
func (s *stageRound) soakedIn(stage, bundle string) time.Duration {
	total := time.Duration(0)
	for _, l := range s.State.Stages[stage].Landings {
		if l.Bundle == bundle && l.Verdict == Verified {
			total += l.soaked(s.now)
		}
	}
	return total
}

// combine are the bundles that enough of the stages before let through.
func (s *stageRound) combine(passed [][]pass) []pass {
	need := len(passed)
	if s.spec.After.Policy == sluicev1.AfterAny {
		need = 1
	}
	newest, count := map[string]pass{}, map[string]int{}
	var order []string
	for _, through := range passed {
		seen := map[string]bool{}
		for _, p := range through {
			if p.newerThan(newest[p.bundle]) {
				newest[p.bundle] = p
			}
			if !seen[p.bundle] {
				seen[p.bundle] = true
				count[p.bundle]++
			}
			if !slices.Contains(order, p.bundle) {
				order = append(order, p.bundle)
			}
		}
	}
	var all []pass
	for _, id := range order {
		if count[id] >= need {
			all = append(all, newest[id])
		}
	}
	return all
}

// hasNewer reports whether the stage has a bundle that came to the stages before it later
// than this one: nothing is taken back by a promotion.
func (s *stageRound) hasNewer(p pass) bool {
	current := s.state.current()
	if current == nil || current.Bundle == p.bundle {
		return false
	}
	for _, name := range s.spec.After.Stages {
		for i, l := range s.State.Stages[name].Landings {
			if l.Bundle == current.Bundle && l.Kind != sluicev1.LandingRollback && (pass{l.Bundle, l.At, i}).newerThan(p) {
				return true
			}
		}
	}
	return false
}
