// SPDX-License-Identifier: Apache-2.0

package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// adopt makes sense of a status that Flagger wrote, whose hashes cannot be
// compared with digests. Taking over must not release anything by itself: if
// the primary already is what Git says, or Git's version is known to have failed,
// there is nothing to do. A release that is under way goes on where it is if it is
// about what Git says now; otherwise its analysis starts over.
//
// A revision that stays unknown keeps Flagger's name, which no digest equals.
func adopt(t transition) State {
	state, target, primary := t.prev, t.seen.Target, t.seen.Primary
	switch {
	case !target.Exists || state.Applied == "":
	case !Ours(state.Applied):
		return adoptRelease(t)
	case !Ours(state.Promoted) && primary.Exists && primary.Revision == target.Revision && target.Revision != state.Applied:
		state.Promoted = target.Revision // Git went back to it
	}
	return state
}

// adoptRelease finds out which release of Flagger's the target is. Flagger keeps
// the truth about weights in routes.
func adoptRelease(t transition) State {
	state, seen, revision := t.prev, t.seen, t.seen.Target.Revision
	if seen.Plan.Routed && !seen.RoutePending {
		state.Weight = seen.Weights.Canary
	}
	state.Iterations = seen.Plan.adoptedIteration(state)
	same := seen.Primary.Exists && seen.Primary.Revision == revision
	moving := promoting(state.Phase)
	// What was copied to the primary before its promotion could be recorded.
	given := seen.Recognised && analysing(state.Phase) && state.Promoted != state.Applied
	// The primary was edited since its promotion.
	edited := seen.Recognised && state.Promoted == state.Applied && !moving && !analysing(state.Phase)
	switch {
	case same && (moving || given):
		state.Applied = revision
	case same, edited:
		state.Applied, state.Promoted = revision, revision
	case seen.Recognised, state.Phase == flaggerv1.CanaryPhaseFailed:
		state.Applied = revision
	case moving:
		state.Phase = flaggerv1.CanaryPhaseProgressing
	}
	return state
}

// adoptedIteration finds the iteration of a state that Flagger wrote by its weight: the
// first iteration with this weight. At the gate behind the iterations, where Flagger
// counts down, it is the last one.
func (p Plan) adoptedIteration(s State) int {
	found := max(s.Iterations, 0)
	for _, step := range p.Steps {
		switch {
		case step.Weight != s.Weight:
		case s.Phase == flaggerv1.CanaryPhaseWaitingPromotion:
			found = step.Iteration
		case s.Weight > 0:
			return max(found, step.Iteration)
		}
	}
	return found
}
