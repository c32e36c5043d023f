// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// stage is what is decided about one stage in a transition. Its state is the next one; the
// parts of a decision ([contentRecorder], [verifier], [proposer], [merger], and
// [commandHandler] for what people ask) go on from where the last one left it.
type stage struct {
	transition *transition
	now        time.Time
	spec       *sluicev1.Stage
	seen       StageObservation
	state      StageState
}

// from is what the next part of a decision about the stage is made from.
func (s *stage) from() stageTransition {
	var freezes []Freeze
	for _, f := range s.transition.seen.Freezes {
		if f.isAbout(s.spec.Name) {
			freezes = append(freezes, f)
		}
	}
	return stageTransition{
		spec: s.spec, seen: s.seen, prev: s.state, pipeline: s.transition.State, now: s.now,
		candidate: s.transition.Candidate, noCandidate: s.transition.Waiting, freezes: freezes,
	}
}

// stopIgnoring ends that a bundle is ignored: it is to be written again, for another reason.
func (s *stage) stopIgnoring(id string) {
	s.state.Ignored = slices.DeleteFunc(s.state.Ignored, func(i Ignored) bool { return i.Bundle == id })
}

// bundle is the bundle of an id.
func (s *stage) bundle(id string) sluicev1.Bundle {
	b, _ := s.transition.State.Bundle(id)
	return b
}

// name describes a bundle by its id.
func (s *stage) name(id string) string { return Describe(s.bundle(id)) }

// quarantined is the quarantine of a bundle, nil if it is in none.
func (s *stage) quarantined(id string) *Quarantine { return s.transition.State.quarantined(id) }

func (s *stage) addEvent(reason, format string, args ...any) {
	s.transition.addEvent(s.spec.Name, reason, format, args...)
}

func (s *stage) warn(reason, format string, args ...any) {
	s.transition.warn(s.spec.Name, reason, format, args...)
}

// addLandingEvent is an event about a landing, and warnOfLanding one about what went wrong with it.
func (s *stage) addLandingEvent(l Landing, reason, format string, args ...any) {
	s.addEvent(reason, format, args...)
	s.transition.Events[len(s.transition.Events)-1].Landing = &l
}

func (s *stage) warnOfLanding(l Landing, reason, format string, args ...any) {
	s.warn(reason, format, args...)
	s.transition.Events[len(s.transition.Events)-1].Landing = &l
}

// lookAt makes sure that there is another look when what is waited for says so.
func (s *stage) lookAt(w waiting) {
	if !w.again.IsZero() {
		s.requeueAt(w.again)
	}
}

func (s *stage) requeueAt(at time.Time) { s.transition.requeueAt(at, s.now) }

// currentBundle is the id of the bundle that the stage has, empty if it has none.
func (s *stage) currentBundle() string {
	if l := s.state.current(); l != nil {
		return l.Bundle
	}
	return ""
}

// bundleOf is the id of the bundle that a content is, empty if that is none. If it may be
// several, because fields hold only tags, it is the one that was expected.
func (s *stage) bundleOf(c Content) string {
	if c.Problem != "" || len(c.Versions) == 0 {
		return ""
	}
	var expected []string
	if s.state.Writing != nil {
		expected = append(expected, s.state.Writing.Bundle)
	}
	for _, l := range s.state.Landings {
		expected = append(expected, l.Bundle)
	}
	if s.state.Proposal != nil {
		expected = append(expected, s.state.Proposal.Bundle)
	}
	for _, id := range expected {
		if b, known := s.transition.State.Bundle(id); known && c.Is(b) {
			s.transition.State.addBundle(sluicev1.Bundle{ID: id, Versions: c.Versions}, s.now)
			return id
		}
	}
	for _, b := range slices.Backward(s.transition.State.Bundles) {
		if c.Is(b.Bundle) {
			s.transition.State.addBundle(sluicev1.Bundle{ID: b.ID, Versions: c.Versions}, s.now)
			return b.ID
		}
	}
	b := s.transition.State.bundleOf(s.transition.withImages(c.Versions))
	s.transition.State.addBundle(b, s.now)
	return b.ID
}

// stageTransition is what a decision about one stage is made from: its last state, what was seen of it, and
// what it has to know of the pipeline. Nothing in it is ever changed.
type stageTransition struct {
	spec     *sluicev1.Stage
	seen     StageObservation
	prev     StageState // of the stage
	pipeline State      // for the bundles, the quarantine, and the other stages
	// candidate is the newest bundle of the pipeline, nil if there is none; noCandidate says what a newer one
	// waits for.
	candidate   *sluicev1.Bundle
	noCandidate string
	freezes     []Freeze // that are about the stage
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
