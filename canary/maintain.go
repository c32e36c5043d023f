// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"

	"github.com/sluice-cd/sluice/canary/provider"
)

// maintain adds to a decision what puts back whatever somebody changed. Services come
// first, and the weights last, so that they are those of the next state.
func maintain(t transition, d Decision) Decision {
	kept := services(t.seen.Plan)
	if !t.seen.Plan.Worker {
		kept = append(kept, EnsureApex{}, EnsureRoute{})
	}
	if lacksSnapshot(t, d.State) {
		kept = append(kept, Snapshot{d.State.Applied})
	}
	d.Actions = slices.Concat(kept, d.Actions)
	d.State.Cookies = sessionCookies(t, d.State)
	d.addActions(enforceWeights(t, d)...)
	d.addActions(autoscaler(t.seen)...) // whatever is wrong with it must not keep users from leaving
	d.addActions(prune(t, d.State)...)
	return d
}

// lacksSnapshot reports whether a release is under way whose revision was not kept:
// Flagger makes no snapshots.
func lacksSnapshot(t transition, next State) bool {
	return analysing(next.Phase) && t.prev.Applied == next.Applied && next.pinned(t.seen.Target) && !t.seen.Snapshots[next.Applied]
}

// enforceWeights puts back weights that somebody changed, unless the decision sets
// others, or they would lead users to pods that do not answer.
func enforceWeights(t transition, d Decision) []Action {
	if !t.seen.Plan.Routed {
		return nil
	}
	for _, a := range d.Actions {
		if _, ok := a.(SetWeights); ok {
			return nil
		}
	}
	wanted, found, users := t.seen.Plan.weights(d.State), t.seen.Weights, trafficOf(t.from(d.State))
	if t.seen.RoutePending {
		return enforceUnseen(t.from(d.State), wanted)
	}
	everyone := d.State.Fallback != nil && t.seen.Plan.ABTest // also those whom the test does not match
	switch {
	case wanted == found && t.seen.Everyone == everyone && d.State.Cookies == t.prev.Cookies:
	case wanted.Canary > found.Canary && !users.canaryTrusted():
	case wanted.Canary < found.Canary && !users.primary.Serves() && users.canary.Serves():
	default:
		return []Action{SetWeights{wanted}}
	}
	return nil
}

// enforceUnseen is for a route of which nobody knows what it says: that must not be the primary while
// only the canary answers, nor, during a release, the canary while only the primary does. A step whose
// status was lost may have led users there.
func enforceUnseen(t transition, wanted provider.Weights) []Action {
	users := trafficOf(t)
	onlyCanary := users.fallback && users.canaryTrusted() && !users.primary.Serves()
	onlyPrimary := !users.inPlace && wanted.Canary == 0 && users.primary.Serves() && !users.canary.Serves()
	if onlyCanary || onlyPrimary && analysing(t.prev.Phase) {
		return []Action{SetWeights{wanted}}
	}
	return nil
}

// prune forgets revisions that neither the recorded state nor the next one knows:
// the next one may be lost in a crash.
func prune(t transition, next State) []Action {
	keep := []string{t.prev.Applied, t.prev.Promoted, next.Applied, next.Promoted}
	for revision, saved := range t.seen.Snapshots {
		if saved && !slices.Contains(keep, revision) {
			slices.Sort(keep)
			return []Action{Prune{slices.Compact(keep)}}
		}
	}
	return nil
}
