// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// upstreamBundle is a bundle that an earlier stage lets through.
type upstreamBundle struct {
	bundle string
	at     time.Time // of its last landing there
	rank   int       // of that landing, the newest first
}

// newerThan reports whether a bundle came later than another one.
func (p upstreamBundle) newerThan(other upstreamBundle) bool {
	return p.at.After(other.at) || p.at.Equal(other.at) && p.rank < other.rank
}

// bundlesFrom are the bundles that a stage before this one lets through, and what its newest one still
// waits for.
func bundlesFrom(s stageTransition, name string) ([]upstreamBundle, waiting) {
	soak := time.Duration(0)
	if s.spec.After.Soak != nil {
		soak = s.spec.After.Soak.Duration
	}
	var through []upstreamBundle
	var waits waiting
	before := s.pipeline.Stages[name]
	rolledBack := rolledBackIn(before)
	for i, l := range before.Landings {
		if l.Kind == sluicev1.LandingRollback {
			continue // it was there before
		}
		switch soaked := soakedFor(before.Landings, l.Bundle, s.now); {
		case rolledBack[l.Bundle] != "":
		case l.Verdict == VerdictVerified && soaked >= soak:
			through = append(through, upstreamBundle{l.Bundle, l.At, i})
		case i > 0, s.hasEverywhere(l.Bundle): // there is nothing to wait for
		case l.Verdict == "":
			waits = waits.and(waitFor(gate(sluicev1.GateUpstream, l.At, time.Time{}, "%s is not verified in %s yet", s.name(l.Bundle), name)))
		case l.Verdict == VerdictVerified:
			waits = waits.and(soakGate(s.name(l.Bundle)+" soaks in "+name, l, soak-soaked, s.now))
		}
	}
	return through, waits
}

// rolledBackIn are the bundles that a person rolled a stage back from, with that person: those that
// came after the one that they brought back, unless they came again since. What somebody
// does not want in staging does not go on to production by itself.
func rolledBackIn(stage StageState) map[string]string {
	landings := stage.Landings
	if w := stage.Writing; w != nil && w.Kind == sluicev1.LandingRollback && w.By != "" {
		landings = slices.Concat([]Landing{{Bundle: w.Bundle, Kind: w.Kind, By: w.By}}, landings)
	}
	taken, again := map[string]string{}, map[string]bool{}
	for i, l := range landings {
		again[l.Bundle] = true
		if l.Kind != sluicev1.LandingRollback || i+1 == len(landings) || landings[i+1].Verdict == VerdictFailed {
			continue
		}
		for _, before := range landings[i+1:] {
			if before.Bundle == l.Bundle {
				break
			}
			if !again[before.Bundle] && taken[before.Bundle] == "" {
				taken[before.Bundle] = orSomebody(l.By)
			}
		}
	}
	return taken
}

// rolledBackGate says that a person rolled a stage back from its newest bundle; it waits for
// nothing if there is none that would be news.
func rolledBackGate(s stageTransition, isNews func(upstreamBundle) bool) waiting {
	for _, name := range s.spec.After.Stages {
		before := s.pipeline.Stages[name]
		rolledBack := rolledBackIn(before)
		for i, l := range before.Landings {
			who := rolledBack[l.Bundle]
			if l.Kind == sluicev1.LandingRollback || who == "" || !isNews(upstreamBundle{l.Bundle, l.At, i}) {
				continue
			}
			return waitFor(gate(sluicev1.GateContent, l.At, time.Time{},
				"%s was rolled back in %s by %s; `sluice pipeline promote` promotes it all the same",
				s.name(l.Bundle), name, who))
		}
	}
	return waiting{}
}

// soakGate waits until a landing has soaked for the time that is left.
func soakGate(what string, l Landing, left time.Duration, now time.Time) waiting {
	since := l.At
	if l.VerdictAt != nil {
		since = *l.VerdictAt
	}
	if l.Since == nil {
		return waitFor(gate(sluicev1.GateSoak, since, time.Time{},
			"%s for another %s once it is Ready there again", what, shorten.Duration(left)))
	}
	until := now.Add(left)
	return waitFor(gate(sluicev1.GateSoak, since, until, "%s until %s", what, until.UTC().Format(time.RFC3339))).recheckAt(until)
}

// soakedFor is for how long a bundle has been in a stage, all its landings together.
func soakedFor(landings []Landing, bundle string, now time.Time) time.Duration {
	total := time.Duration(0)
	for _, l := range landings {
		if l.Bundle == bundle && l.Verdict == VerdictVerified {
			total += l.soaked(now)
		}
	}
	return total
}

// combine are the bundles that enough of the stages before let through.
func combine(passed [][]upstreamBundle, policy sluicev1.AfterPolicy) []upstreamBundle {
	need := len(passed)
	if policy == sluicev1.AfterAny {
		need = 1
	}
	newest, count := map[string]upstreamBundle{}, map[string]int{}
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
	var all []upstreamBundle
	for _, id := range order {
		if count[id] >= need {
			all = append(all, newest[id])
		}
	}
	return all
}

// hasNewer reports whether the stage has a bundle that came to the stages before it later
// than this one: nothing is taken back by a promotion.
func hasNewer(s stageTransition, p upstreamBundle) bool {
	current := s.prev.current()
	if current == nil || current.Bundle == p.bundle {
		return false
	}
	newer, followed := false, false
	for _, name := range s.spec.After.Stages {
		before := s.pipeline.Stages[name].Landings
		has, had := lastOf(before, current.Bundle), lastOf(before, p.bundle)
		switch {
		case has.bundle == "":
		case has.newerThan(p):
			return true
		case had == p:
			followed = true // the stage that p comes from had both, and p last
		case had.bundle != "" && has.newerThan(had):
			newer = true // it only came to a slower stage later
		}
	}
	return newer && !followed
}

// lastOf is the last of these landings that is of a bundle, but for rollbacks; its zero value if
// there is none.
func lastOf(landings []Landing, bundle string) upstreamBundle {
	for i, l := range landings {
		if l.Bundle == bundle && l.Kind != sluicev1.LandingRollback {
			return upstreamBundle{l.Bundle, l.At, i}
		}
	}
	return upstreamBundle{}
}
