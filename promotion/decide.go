// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Decide computes what to do, and the next state.
func Decide(prev State, seen Observation, now time.Time) Decision {
	t := transition{prev: prev, seen: seen, now: now}
	d := Decision{State: prev, Missing: seen.Absent}
	d.State.Lost = prev.Lost || seen.StateLost
	for _, part := range []func(transition) Decision{followSpec, chooseCandidate, carryOutCommands} {
		d = t.then(d, part)
	}
	for _, part := range []func(stageTransition) stageDecision{judge, advance} {
		for i := range seen.Spec.Stages {
			stage := &seen.Spec.Stages[i]
			d = d.with(stage.Name, part(t.from(d).stage(stage)), now)
		}
	}
	d.State = d.State.trimmed()
	return d
}

// transition is what a decision about the pipeline is made from: the previous state, what was seen, and
// when. Nothing in it is ever changed; a decision that is made in several parts goes on from the
// state that the last part leads to.
type transition struct {
	prev State
	seen Observation
	now  time.Time
	// candidate is the newest bundle, nil if there is none; noCandidate says what a newer one waits for.
	candidate   *sluicev1.Bundle
	noCandidate string
}

// unchanged is the decision to leave everything as it is.
func (t transition) unchanged() Decision { return Decision{State: t.prev} }

// from is the same transition from what was decided before.
func (t transition) from(d Decision) transition {
	t.prev, t.candidate, t.noCandidate = d.State, cmp.Or(d.Candidate, t.candidate), cmp.Or(d.Waiting, t.noCandidate)
	return t
}

// then goes on where d leads: what is decided next is decided from its state, and
// added to it.
func (t transition) then(d Decision, next func(transition) Decision) Decision {
	return d.then(next(t.from(d)))
}

// stage is what a decision about one stage is made from.
func (t transition) stage(spec *sluicev1.Stage) stageTransition {
	s := stageTransition{
		spec: spec, seen: t.seen.Stages[spec.Name], prev: t.prev.Stages[spec.Name], pipeline: t.prev, stages: t.seen.Spec.Stages, now: t.now,
		newest: t.seen.Newest, candidate: t.candidate, noCandidate: t.noCandidate,
	}
	for _, f := range t.seen.Freezes {
		if f.isAbout(spec.Name) {
			s.freezes = append(s.freezes, f)
		}
	}
	return s
}
