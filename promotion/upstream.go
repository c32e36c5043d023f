// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// upstream is what the stages before one let through.
type upstream struct{ stage *stage }

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

// bundlesFrom are the bundles that a stage lets through, and what its newest one still waits
// for.
func (u upstream) bundlesFrom(name string) ([]upstreamBundle, []sluicev1.Gate) {
	soak := time.Duration(0)
	if u.stage.spec.After.Soak != nil {
		soak = u.stage.spec.After.Soak.Duration
	}
	var through []upstreamBundle
	var gates []sluicev1.Gate
	rolledBack := u.rolledBackIn(name)
	for i, l := range u.stage.transition.State.Stages[name].Landings {
		if l.Kind == sluicev1.LandingRollback {
			continue // it was there before
		}
		switch soaked := u.soakedIn(name, l.Bundle); {
		case rolledBack[l.Bundle] != "":
		case l.Verdict == VerdictVerified && soaked >= soak:
			through = append(through, upstreamBundle{l.Bundle, l.At, i})
		case i > 0, u.stage.hasEverywhere(l.Bundle): // there is nothing to wait for
		case l.Verdict == "":
			gates = append(gates, gate(sluicev1.GateUpstream, l.At, time.Time{}, "%s is not verified in %s yet", u.stage.name(l.Bundle), name))
		case l.Verdict == VerdictVerified:
			gates = append(gates, u.soakGate(name, l, soak-soaked))
		}
	}
	return through, gates
}

// rolledBackIn are the bundles that a person rolled a stage back from, with that person: those that
// came after the one that they brought back, unless they came again since. What somebody
// does not want in staging does not go on to production by itself.
func (u upstream) rolledBackIn(name string) map[string]string {
	state := u.stage.transition.State.Stages[name]
	landings := state.Landings
	if w := state.Writing; w != nil && w.Kind == sluicev1.LandingRollback && w.By != "" {
		landings = slices.Insert(slices.Clone(landings), 0, Landing{Bundle: w.Bundle, Kind: w.Kind, By: w.By})
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

// rolledBackGate says that a person rolled a stage back from its newest bundle, nil if
// there is none that would be news.
func (u upstream) rolledBackGate(isNews func(upstreamBundle) bool) *sluicev1.Gate {
	for _, name := range u.stage.spec.After.Stages {
		rolledBack := u.rolledBackIn(name)
		for i, l := range u.stage.transition.State.Stages[name].Landings {
			who := rolledBack[l.Bundle]
			if l.Kind == sluicev1.LandingRollback || who == "" || !isNews(upstreamBundle{l.Bundle, l.At, i}) {
				continue
			}
			found := gate(sluicev1.GateContent, l.At, time.Time{},
				"%s was rolled back in %s by %s; `sluice pipeline promote` promotes it all the same",
				u.stage.name(l.Bundle), name, who)
			return &found
		}
	}
	return nil
}

func (u upstream) soakGate(name string, l Landing, left time.Duration) sluicev1.Gate {
	since := l.At
	if l.VerdictAt != nil {
		since = *l.VerdictAt
	}
	if l.Since == nil {
		return gate(sluicev1.GateSoak, since, time.Time{},
			"%s soaks in %s for another %s once it is Ready there again", u.stage.name(l.Bundle), name, left)
	}
	until := u.stage.now.Add(left)
	u.stage.requeueAt(until)
	return gate(sluicev1.GateSoak, since, until, "%s soaks in %s until %s", u.stage.name(l.Bundle), name, until.UTC().Format(time.RFC3339))
}

// soakedIn is for how long a bundle has been in a stage, all its landings together.
func (u upstream) soakedIn(stage, bundle string) time.Duration {
	total := time.Duration(0)
	for _, l := range u.stage.transition.State.Stages[stage].Landings {
		if l.Bundle == bundle && l.Verdict == VerdictVerified {
			total += l.soaked(u.stage.now)
		}
	}
	return total
}

// combine are the bundles that enough of the stages before let through.
func (u upstream) combine(passed [][]upstreamBundle) []upstreamBundle {
	need := len(passed)
	if u.stage.spec.After.Policy == sluicev1.AfterAny {
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
func (u upstream) hasNewer(p upstreamBundle) bool {
	current := u.stage.state.current()
	if current == nil || current.Bundle == p.bundle {
		return false
	}
	newer, followed := false, false
	for _, name := range u.stage.spec.After.Stages {
		has, had := u.lastOf(name, current.Bundle), u.lastOf(name, p.bundle)
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

// lastOf is the last landing of a bundle in a stage, but for rollbacks; its zero value if
// there is none.
func (u upstream) lastOf(stage, bundle string) upstreamBundle {
	for i, l := range u.stage.transition.State.Stages[stage].Landings {
		if l.Bundle == bundle && l.Kind != sluicev1.LandingRollback {
			return upstreamBundle{l.Bundle, l.At, i}
		}
	}
	return upstreamBundle{}
}
