// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Bounds of a state, so that its file stays one that a person can read.
const (
	maxState      = 1 << 20 // bytes
	maxLandings   = 20      // of a stage
	maxQuarantine = 100
	maxDecisions  = 50 // approvals, ignored bundles, ... of a stage
)

// State is what is kept of a pipeline besides the content of its stages: verdicts and
// decisions. It is the file of the state branch.
type State struct {
	// Version of the format: 1.
	Version int `json:"version"`
	// Serial counts how often the state was written. A state with a smaller one than the
	// last that was seen is an older state that somebody put back.
	Serial int64 `json:"serial,omitempty"`
	// Lost means that there was a state before this one, and that it is gone: nobody knows
	// what was in quarantine. A person has to confirm that promotions may go on.
	Lost bool `json:"lost,omitempty"`
	// Candidate is the newest bundle, and since when it is.
	Candidate *Candidate `json:"candidate,omitempty"`
	// Changed is since when some artifacts have new versions and others, which they wait
	// for, do not.
	Changed *time.Time `json:"changed,omitempty"`
	// Bundles that others name by their id, in the order in which they were first seen.
	Bundles []KnownBundle `json:"bundles,omitempty"`
	// Quarantine are bundles that no stage is given, the newest last.
	Quarantine []Quarantine `json:"quarantine,omitempty"`
	// Stages by name.
	Stages map[string]StageState `json:"stages,omitempty"`
	// Handled is when the last command of a verb was given to a stage that was carried
	// out: `<verb>/<stage>`.
	Handled map[string]time.Time `json:"handled,omitempty"`
	// Refused says why that command was refused, if it was, by the same keys.
	Refused map[string]string `json:"refused,omitempty"`
	// Unguarded is the time of the last command, by the same keys, that was seen while the
	// API server did not guard commands. It does not count once it does: anybody may have
	// written it.
	Unguarded map[string]time.Time `json:"unguarded,omitempty"`
	// Events of the last decisions, the newest last: a process that ends before it told them leaves
	// them to the next one. See [State.WithEvents].
	Events []Event `json:"events,omitempty"`
}

// Candidate is the newest bundle, and since when it is.
type Candidate struct {
	Bundle string    `json:"bundle"`
	Since  time.Time `json:"since"`
}

// Quarantine is a bundle that no stage is given.
type Quarantine struct {
	Bundle string `json:"bundle"`
	// Artifacts whose versions are suspected: those that the stage had not been verified
	// with before. Empty is all.
	Artifacts []string  `json:"artifacts,omitempty"`
	Stage     string    `json:"stage,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at"`
	// Until is when a person may promote it without lifting the quarantine first.
	Until *time.Time `json:"until,omitempty"`
	// Overridden is when somebody put it back by a commit.
	Overridden *time.Time `json:"overridden,omitempty"`
}

// Writing is what is about to be written to a stage, kept before it is.
type Writing struct {
	Bundle string               `json:"bundle"`
	Kind   sluicev1.LandingKind `json:"kind"`
	At     time.Time            `json:"at"`
	// By and Reason are those of the person who asked for it; empty if nobody did.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Consent is a person's decision about a bundle in a stage, or about the stage.
type Consent struct {
	Bundle string     `json:"bundle,omitempty"`
	By     string     `json:"by"`
	At     time.Time  `json:"at"`
	Reason string     `json:"reason,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
}

// inForce reports whether its time is not over.
func (c Consent) inForce(now time.Time) bool { return c.Until == nil || now.Before(*c.Until) }

// StageState is what is kept of a stage.
type StageState struct {
	// Has is the bundle that each target has, by its name.
	Has map[string]string `json:"has,omitempty"`
	// Landings, the newest first.
	Landings []Landing `json:"landings,omitempty"`
	// Writing is what is about to be written.
	Writing *Writing `json:"writing,omitempty"`
	// Pin is what a person asked to be written.
	Pin *Writing `json:"pin,omitempty"`
	// Hold stops promotions.
	Hold *Consent `json:"hold,omitempty"`
	// Approvals of bundles, and Overrides of windows and freezes for one.
	Approvals []Consent `json:"approvals,omitempty"`
	Overrides []Consent `json:"overrides,omitempty"`
	// Ignored bundles are not proposed again.
	Ignored  []Ignored `json:"ignored,omitempty"`
	Proposal *Proposal `json:"proposal,omitempty"`
}

// current is the last landing, or nil.
func (s StageState) current() *Landing {
	if len(s.Landings) == 0 {
		return nil
	}
	last := s.Landings[0]
	return &last
}

// currentBundle is the id of the bundle that the stage has, empty if it has none.
func (s StageState) currentBundle() string {
	if l := s.current(); l != nil {
		return l.Bundle
	}
	return ""
}

// withCurrent is the state with the last landing in its place.
func (s StageState) withCurrent(l Landing) StageState {
	s.Landings = slices.Concat([]Landing{l}, s.Landings[1:])
	return s
}

// withLanding is the state after one more landing.
func (s StageState) withLanding(l Landing) StageState {
	s.Landings = slices.Concat([]Landing{l}, s.Landings)
	return s
}

// withoutIgnored is the state in which a bundle is not ignored: it is to be written again, for another
// reason.
func (s StageState) withoutIgnored(bundle string) StageState {
	s.Ignored = slices.DeleteFunc(slices.Clone(s.Ignored), func(i Ignored) bool { return i.Bundle == bundle })
	return s
}

// expected are the bundles that the targets of the stage may have, the likeliest first.
func (s StageState) expected() []string {
	var ids []string
	if s.Writing != nil {
		ids = append(ids, s.Writing.Bundle)
	}
	for _, l := range s.Landings {
		ids = append(ids, l.Bundle)
	}
	if s.Proposal != nil {
		ids = append(ids, s.Proposal.Bundle)
	}
	return ids
}

// hadBundle reports whether a bundle landed in the stage, as far back as that is kept.
func (s StageState) hadBundle(bundle string) bool {
	return slices.ContainsFunc(s.Landings, func(l Landing) bool { return l.Bundle == bundle })
}

// withTarget is the state after a target was seen to have a bundle.
func (s StageState) withTarget(target, bundle string) StageState {
	has := maps.Clone(s.Has)
	if has == nil {
		has = map[string]string{}
	}
	has[target] = bundle
	s.Has = has
	return s
}

// forgetOthers is the state without what targets had that are not among these.
func (s StageState) forgetOthers(targets []TargetObservation) StageState {
	has := maps.Clone(s.Has)
	maps.DeleteFunc(has, func(name string, _ string) bool {
		return !slices.ContainsFunc(targets, func(t TargetObservation) bool { return t.Name == name })
	})
	s.Has = has
	return s
}

// verifiedBefore is the newest bundle that was verified in the stage and that ok accepts;
// empty if there is none.
func (s StageState) verifiedBefore(ok func(bundle string) bool) string {
	for _, l := range s.Landings {
		if l.Verdict == VerdictVerified && ok(l.Bundle) {
			return l.Bundle
		}
	}
	return ""
}

// withStage is the state with what is kept of a stage.
func (s State) withStage(name string, stage StageState) State {
	s.Stages = withEntry(s.Stages, name, stage)
	return s
}

// withEntry is a map with an entry, which it may not have had.
func withEntry[V any](of map[string]V, key string, value V) map[string]V {
	changed := map[string]V{key: value}
	for k, v := range of {
		if k != key {
			changed[k] = v
		}
	}
	return changed
}

// Bundle returns the bundle of an id. It is false if that is not known.
func (s State) Bundle(id string) (sluicev1.Bundle, bool) {
	i := slices.IndexFunc(s.Bundles, func(b KnownBundle) bool { return b.ID == id })
	if i < 0 {
		return sluicev1.Bundle{ID: id}, false
	}
	return s.Bundles[i].Bundle, true
}

// trimmed is the state without what is more than it may have, the oldest first, and without bundles that
// nobody names.
func (s State) trimmed() State {
	s.Quarantine = newest(s.Quarantine, maxQuarantine)
	named := map[string]bool{}
	if s.Candidate != nil {
		named[s.Candidate.Bundle] = true
	}
	for _, q := range s.Quarantine {
		named[q.Bundle] = true
	}
	stages := make(map[string]StageState, len(s.Stages))
	for name, stage := range s.Stages {
		stage.Landings = stage.Landings[:min(len(stage.Landings), maxLandings)]
		stage.Approvals, stage.Overrides = newest(stage.Approvals, maxDecisions), newest(stage.Overrides, maxDecisions)
		stage.Ignored = newest(stage.Ignored, maxDecisions)
		stages[name] = stage
		for _, id := range stage.bundles() {
			named[id] = true
		}
	}
	s.Stages = stages
	s.Bundles = slices.DeleteFunc(slices.Clone(s.Bundles), func(b KnownBundle) bool { return !named[b.ID] })
	return s
}

// bundles are the ids of all that the stage names.
func (s StageState) bundles() []string {
	var ids []string
	for _, id := range s.Has {
		ids = append(ids, id)
	}
	for _, l := range s.Landings {
		ids = append(ids, l.Bundle)
	}
	for _, c := range slices.Concat(s.Approvals, s.Overrides) {
		ids = append(ids, c.Bundle)
	}
	for _, i := range s.Ignored {
		ids = append(ids, i.Bundle)
	}
	for _, w := range []*Writing{s.Writing, s.Pin} {
		if w != nil {
			ids = append(ids, w.Bundle)
		}
	}
	if s.Proposal != nil {
		ids = append(ids, s.Proposal.Bundle)
	}
	return ids
}

// newest are the last n of a list in order of time.
func newest[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// ErrState means that the file of a state cannot be used.
var ErrState = errors.New("the state cannot be read")

const header = `# What Sluice decided about this pipeline. It is read on each change, and people may
# edit it: a quarantine ends when its entry is removed.
`

// Marshal is the state as a file.
func (s State) Marshal() ([]byte, error) {
	s.Version = 1
	text, err := yaml.Marshal(s)
	return append([]byte(header), text...), err
}

// ParseState reads the file of a state. It fails with [ErrState].
func ParseState(text []byte) (State, error) {
	if len(text) > maxState {
		return State{}, fmt.Errorf("%w: it has more than %d bytes", ErrState, maxState)
	}
	var s State
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Version != 1 {
		return State{}, fmt.Errorf("%w: its version is %d, and this Sluice knows 1", ErrState, s.Version)
	}
	return s, nil
}
