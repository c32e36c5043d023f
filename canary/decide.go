// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Due returns what to find out before [Decide]. It is asked again with the
// answers, since one may lead to another question.
func Due(prev State, seen Observation, now time.Time) Questions {
	d, err := Decide(prev, seen, now)
	if err != nil {
		return Questions{}
	}
	return d.due
}

// Decide computes what to do, and the next state. It fails only on a phase that it
// does not know.
func Decide(prev State, seen Observation, now time.Time) (Decision, error) {
	t := transition{prev: prev, seen: seen, now: now}
	begun := readState(t)
	t = t.from(begun.State)
	commanded, ended := applyCommand(t)
	d := begun.then(commanded)
	phase := commanded.State.Phase
	switch decide, known := phases[phase]; {
	case ended:
	case !known:
		return Decision{}, fmt.Errorf("status.phase: %q is unknown", phase)
	default:
		d = t.then(d, decide)
	}
	if !d.due.None() {
		d = t.undecided(d)
	}
	if initializing(phase) {
		return d, nil
	}
	return diagnose(t, maintain(t, d)), nil
}

// readState makes sense of a recorded state that may be about another target, that
// Flagger may have written, or that has no record of a fallback.
func readState(t transition) Decision {
	d := retarget(t)
	d.State = adopt(t.from(d.State))
	d.State.Fallback = recordedFallback(t.from(d.State))
	return d
}

// phases are what is decided in each phase.
var phases = map[flaggerv1.CanaryPhase]func(transition) Decision{
	"":                                    initialize,
	flaggerv1.CanaryPhaseInitializing:     initialize,
	flaggerv1.CanaryPhaseInitialized:      steadyState,
	flaggerv1.CanaryPhaseSucceeded:        steadyState,
	flaggerv1.CanaryPhaseWaiting:          steadyState,
	flaggerv1.CanaryPhaseFailed:           failed,
	flaggerv1.CanaryPhaseProgressing:      analyse,
	flaggerv1.CanaryPhaseWaitingPromotion: analyse,
	flaggerv1.CanaryPhasePromoting:        rollOutPrimary,
	flaggerv1.CanaryPhaseFinalising:       finalise,
}

// transition is what one decision is made from: the previous state, what was seen,
// and when. Nothing in it is ever changed; a decision that is made in several parts
// goes on from the state that the last part leads to.
type transition struct {
	prev State
	seen Observation
	now  time.Time
}

// from is the same transition from another state.
func (t transition) from(prev State) transition {
	t.prev = prev
	return t
}

// unchanged is the decision to leave everything as it is.
func (t transition) unchanged() Decision { return Decision{State: t.prev} }

// then goes on where d leads: what is decided next is decided from its state, and
// added to it.
func (t transition) then(d Decision, next func(transition) Decision) Decision {
	return d.then(next(t.from(d.State)))
}

// undecided changes nothing: what there is to do depends on answers that are not
// there yet. A command is carried out once they are.
func (t transition) undecided(d Decision) Decision {
	return Decision{State: t.prev, Message: d.Message, After: soon, due: d.due}
}

// ask waits for answers to these questions.
func (t transition) ask(q Questions, format string, args ...any) Decision {
	return Decision{State: t.prev, Message: fmt.Sprintf(format, args...), After: soon, due: q}
}

// interval is when to look again if no watch says so before.
func (t transition) interval() time.Duration { return max(t.seen.Plan.Interval, time.Second) }

// remaining is how long the current step still lasts.
func (t transition) remaining() time.Duration {
	return t.prev.At.Add(t.seen.Plan.Interval).Sub(t.now)
}

func (t transition) pinned() bool      { return t.prev.pinned(t.seen.Target) }
func (t transition) newRevision() bool { return t.prev.newRevision(t.seen.Target) }
