// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// stageTransition is what a decision about one stage is made from: its last state, what was seen of it, and
// what it has to know of the pipeline. Nothing in it is ever changed.
type stageTransition struct {
	spec     *sluicev1.Stage
	seen     StageObservation
	prev     StageState // of the stage
	pipeline State      // for the bundles, the quarantine, and the other stages
	stages   []sluicev1.Stage
	// candidate is the newest bundle of the pipeline, nil if there is none; noCandidate says what a newer one
	// waits for.
	candidate   *sluicev1.Bundle
	noCandidate string
	newest      map[string]Newest // versions of artifacts
	freezes     []Freeze          // that are about the stage
	now         time.Time
}

// bundle is the bundle of an id.
func (s stageTransition) bundle(id string) sluicev1.Bundle {
	b, _ := s.pipeline.Bundle(id)
	return b
}

// name describes a bundle by its id.
func (s stageTransition) name(id string) string { return Describe(s.bundle(id)) }

// hasEverywhere reports whether all targets have a bundle, as far as they could be seen.
func (s stageTransition) hasEverywhere(id string) bool { return s.seen.hasEverywhere(s.bundle(id)) }

// from is the same transition from what was decided before.
func (s stageTransition) from(d stageDecision) stageTransition {
	s.prev, s.pipeline = d.state, d.addTo(s.pipeline, s.now)
	return s
}

// unchanged is the decision to leave everything as it is.
func (s stageTransition) unchanged() stageDecision { return stageDecision{state: s.prev} }

// then goes on where d leads: what is decided next is decided from its state, and
// added to it.
func (s stageTransition) then(d stageDecision, next func(stageTransition) stageDecision) stageDecision {
	return d.then(next(s.from(d)))
}

// inSequence is what is decided in several parts, each from where the last one leads.
func (s stageTransition) inSequence(parts ...func(stageTransition) stageDecision) stageDecision {
	d := s.unchanged()
	for _, part := range parts {
		d = s.then(d, part)
	}
	return d
}

// stageDecision is what follows for one stage.
type stageDecision struct {
	state      StageState
	found      []sluicev1.Bundle // in its targets
	quarantine []Quarantine      // of bundles; others stay as they are
	actions    []Action
	events     []Event // whose stage is named when they are gathered
	waits      waiting
	// status is where the stage stands; missing says which object that it names does not exist or cannot be looked
	// at, or which files do not say what it has; empty if all is there. Both are of the last part.
	status  sluicev1.StageStatus
	missing string
}

// then is both decisions: what the later one says comes last, and its state replaces that of the first.
func (d stageDecision) then(later stageDecision) stageDecision {
	return stageDecision{
		state:      later.state,
		found:      slices.Concat(d.found, later.found),
		quarantine: slices.Concat(d.quarantine, later.quarantine),
		actions:    slices.Concat(d.actions, later.actions),
		events:     slices.Concat(d.events, later.events),
		waits:      d.waits.and(later.waits),
		status:     later.status,
		missing:    later.missing,
	}
}

// addTo is the state of the pipeline with what was found in the stage, and with what is in quarantine because of it.
func (d stageDecision) addTo(pipeline State, now time.Time) State {
	for _, b := range d.found {
		pipeline = pipeline.withBundle(b, now)
	}
	for _, q := range d.quarantine {
		pipeline = pipeline.withQuarantine(q)
	}
	return pipeline
}

func (d *stageDecision) addEvent(reason, format string, args ...any) {
	d.events = append(d.events, Event{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (d *stageDecision) warn(reason, format string, args ...any) {
	d.events = append(d.events, Event{Warning: true, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// addLandingEvent is an event about a landing, and warnOfLanding one about what went wrong with it.
func (d *stageDecision) addLandingEvent(l Landing, reason, format string, args ...any) {
	d.events = append(d.events, Event{Reason: reason, Message: fmt.Sprintf(format, args...), Commit: l.Commit, Verdict: l.Verdict})
}

func (d *stageDecision) warnOfLanding(l Landing, reason, format string, args ...any) {
	d.events = append(d.events, Event{
		Warning: true, Reason: reason, Message: fmt.Sprintf(format, args...), Commit: l.Commit, Verdict: l.Verdict,
	})
}
