// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"maps"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// stage is what is decided about one stage in a transition. Its state is the next one; the
// parts of a decision ([contentRecorder], [verifier], [selector], [gatekeeper], [proposer], [merger], and
// [commandHandler] for what people ask) go on from where the last one left it.
type stage struct {
	transition *transition
	now        time.Time
	spec       *sluicev1.Stage
	seen       StageObservation
	state      StageState
}

// wanted is what the stage is to be given next, and what keeps it from being chosen.
func (s *stage) wanted() (*desiredBundle, []sluicev1.Gate) {
	if s.isUnseen() {
		return nil, []sluicev1.Gate{gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", s.seen.Problem)}
	}
	return selector{s}.wanted()
}

// isUnseen reports whether the stage could not be looked at. What is known of it stays as
// it is: a repository that cannot be reached is no fault of a bundle.
func (s *stage) isUnseen() bool { return len(s.seen.Targets) == 0 }

// upstream is what the stages before this one let through.
func (s *stage) upstream() upstream { return upstream{s} }

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

func (s *stage) requeueAt(at time.Time) { s.transition.requeueAt(at, s.now) }

// currentBundle is the id of the bundle that the stage has, empty if it has none.
func (s *stage) currentBundle() string {
	if l := s.state.current(); l != nil {
		return l.Bundle
	}
	return ""
}

// problem is why the content of the first target that has one cannot be read.
func (s *stage) problem() string {
	for _, t := range s.seen.Targets {
		if t.Content.Problem != "" {
			return s.onTarget(t, t.Content.Problem)
		}
	}
	return ""
}

// missing says that an object which the stage names for one of these targets does not exist,
// and what to do; empty if all do.
func (s *stage) missing(targets []TargetObservation) string {
	for _, t := range targets {
		if why := t.missing(s.spec.Name); why != "" {
			return s.onTarget(t, why)
		}
	}
	return ""
}

// unreadable says that an object of one of the targets cannot be looked at, and what to do;
// empty if all can.
func (s *stage) unreadable() string {
	for _, t := range s.seen.Targets {
		if t.Unreadable != "" {
			return s.onTarget(t, t.Unreadable)
		}
	}
	return ""
}

// waves are the numbers of the waves of the stage's targets, in order.
func (s *stage) waves() []int {
	numbers := map[int]bool{}
	for _, t := range s.seen.Targets {
		numbers[t.Wave] = true
	}
	return slices.Sorted(maps.Keys(numbers))
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

// hasEverywhere reports whether all targets have a bundle, as far as they could be seen.
func (s *stage) hasEverywhere(id string) bool {
	return !s.isUnseen() && len(s.lacking(id)) == 0
}

// lacking are the targets that do not have a bundle.
func (s *stage) lacking(id string) []TargetObservation {
	b := s.bundle(id)
	var lacking []TargetObservation
	for _, t := range s.seen.Targets {
		if !t.Content.Is(b) {
			lacking = append(lacking, t)
		}
	}
	return lacking
}

// onTarget says which target something is about.
func (s *stage) onTarget(t TargetObservation, text string) string {
	if t.Name == "" {
		return text
	}
	return t.Name + ": " + text
}

// isThere reports whether any target has a bundle.
func (s *stage) isThere(id string) bool { return len(s.lacking(id)) < len(s.seen.Targets) }

func (s *stage) wants(w Writing) *desiredBundle {
	b := s.bundle(w.Bundle)
	if s.hasEverywhere(w.Bundle) {
		return nil
	}
	return &desiredBundle{bundle: b, kind: w.Kind, by: w.By, reason: w.Reason}
}

// evidence is what a landing without a verdict waits for.
func (s *stage) evidence(l *Landing) string {
	b := s.bundle(l.Bundle)
	for _, t := range s.seen.Targets {
		switch {
		case !t.Content.Is(b):
		case t.missing("") != "":
			return s.onTarget(t, t.missing(s.spec.Name))
		case t.Unreadable != "":
			return s.onTarget(t, t.Unreadable)
		case t.Ready != ReadinessReady && t.Why != "":
			return s.onTarget(t, t.Why)
		case t.Ready == ReadinessReady && t.Verification != VerificationPassed && t.Evidence != "":
			return s.onTarget(t, t.Evidence)
		}
	}
	return "its objects are not Ready with it yet"
}
