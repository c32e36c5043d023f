package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// adopt makes sense of a status that Flagger wrote, whose hashes cannot be
// compared with our digests. Taking over must not release anything by itself: if
// the primary already is what Git says, or Git's version is known to have failed,
// there is nothing to do. A release that is under way goes on where it is if it is
// about what Git says now; otherwise its analysis starts over.
//
// A revision that stays unknown keeps Flagger's name, which no digest equals.
func adopt(s Observation) State {
	state := s.State
	same := s.Primary.Exists && s.Target.Exists && s.Primary.Revision == s.Target.Revision
	switch {
	case !s.Target.Exists || state.Applied == "":
		return state
	case !Ours(state.Applied):
		return s.adoptRelease(same)
	case !Ours(state.Promoted) && same && s.Target.Revision != state.Applied:
		state.Promoted = s.Target.Revision // Git went back to it
	}
	return state
}

// adopted reports whether a release is under way that nobody has kept a snapshot
// of: Flagger makes none.
func (t *turn) adopted() bool {
	return analysing(t.State.Phase) && t.was.Applied == t.State.Applied && t.pinned() && !t.Snapshots[t.State.Applied]
}

// iteration is that of a state of Flagger's whose weight is known: the first with
// this weight or, at the gate behind them, where Flagger counts down, the last.
func (p Plan) iteration(s State) int {
	found := max(s.Iterations, 0)
	for _, stage := range p.Steps {
		switch {
		case stage.Weight != s.Weight:
		case s.Phase == flaggerv1.CanaryPhaseWaitingPromotion:
			found = stage.Iteration
		case s.Weight > 0:
			return max(found, stage.Iteration)
		}
	}
	return found
}

// adoptRelease finds out which release of Flagger's the target is. Flagger keeps
// the truth about weights in routes.
func (s Observation) adoptRelease(same bool) State {
	state := s.State
	if s.Plan.Routed && !s.RoutePending {
		state.Weight = s.Weights.Canary
	}
	state.Iterations = s.Plan.iteration(state)
	moving, revision := promoting(state.Phase), s.Target.Revision
	// What was copied to the primary before its promotion could be recorded.
	given := s.Recognised && analysing(state.Phase) && state.Promoted != state.Applied
	switch {
	case same && (moving || given):
		state.Applied = revision
	case same:
		state.Applied, state.Promoted = revision, revision
	case s.Recognised && state.Promoted == state.Applied && !moving && !analysing(state.Phase):
		state.Applied, state.Promoted = revision, revision // the primary was edited since
	case s.Recognised, state.Phase == flaggerv1.CanaryPhaseFailed:
		state.Applied = revision
	case moving:
		state.Phase = flaggerv1.CanaryPhaseProgressing
	}
	return state
}
