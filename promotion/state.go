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

// Verdicts of a landing; empty while there is none yet.
const (
	VerdictVerified = "Verified"
	VerdictFailed   = "Failed"
	VerdictReplaced = "Replaced" // another bundle came before there was a verdict
)

// Landing is a bundle that a stage got.
type Landing struct {
	Bundle string               `json:"bundle"`
	At     time.Time            `json:"at"`
	Kind   sluicev1.LandingKind `json:"kind"`
	Commit string               `json:"commit,omitempty"`
	By     string               `json:"by,omitempty"`
	// Found means that the stage had the bundle when it was looked at first, so that At is
	// when that was, and nobody knows since when it is there.
	Found bool `json:"found,omitempty"`
	// Asked is when a person asked for it by a command; nil if nobody did.
	Asked *time.Time `json:"asked,omitempty"`
	// Waves is when each wave of the stage's targets had it.
	Waves map[int]time.Time `json:"waves,omitempty"`
	// Verdict, when it was given, and why.
	Verdict   string     `json:"verdict,omitempty"`
	VerdictAt *time.Time `json:"verdictAt,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	// Soaked is for how long it was there and Ready until Since, and Since the moment
	// since when it is again; nil if it is not.
	Soaked Duration   `json:"soaked,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
}

// Duration is a time in the notation of Go, such as 1h30m.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// soaked is for how long a landing has been there and Ready.
func (l Landing) soaked(now time.Time) time.Duration {
	total := time.Duration(l.Soaked)
	if l.Since != nil {
		total += max(0, now.Sub(*l.Since))
	}
	return total
}

// mayBePartial reports whether only some targets may have the bundle for good: somebody's
// commit may be about these alone, and of what was found nobody knows how it got there.
func (l Landing) mayBePartial() bool { return l.Kind == sluicev1.LandingManual || l.Found }

// reached is the landing where a wave has the bundle: since now if that was not known.
func (l Landing) reached(wave int, now time.Time) Landing {
	if _, known := l.Waves[wave]; known {
		return l
	}
	waves := map[int]time.Time{wave: now}
	maps.Copy(waves, l.Waves)
	l.Waves = waves
	return l
}

// stopSoak ends the time in which a bundle soaks: it is not there any more, or not Ready.
func (l Landing) stopSoak(now time.Time) Landing {
	if l.Since != nil {
		l.Soaked, l.Since = Duration(l.soaked(now)), nil
	}
	return l
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

// had reports whether a bundle landed in the stage, as far back as that is kept.
func (s StageState) had(bundle string) bool {
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

// Clone returns a state that shares nothing that is changed in place with s.
func (s State) Clone() State {
	s.Bundles, s.Quarantine = slices.Clone(s.Bundles), slices.Clone(s.Quarantine)
	s.Handled, s.Refused = maps.Clone(s.Handled), maps.Clone(s.Refused)
	s.Unguarded = maps.Clone(s.Unguarded)
	stages := make(map[string]StageState, len(s.Stages))
	for name, stage := range s.Stages {
		stage.Landings = slices.Clone(stage.Landings)
		for i := range stage.Landings {
			stage.Landings[i].Waves = maps.Clone(stage.Landings[i].Waves)
		}
		stage.Approvals, stage.Overrides = slices.Clone(stage.Approvals), slices.Clone(stage.Overrides)
		stage.Ignored, stage.Has = slices.Clone(stage.Ignored), maps.Clone(stage.Has)
		stages[name] = stage
	}
	s.Stages = stages
	return s
}

// Bundle returns the bundle of an id. It is false if that is not known.
func (s State) Bundle(id string) (sluicev1.Bundle, bool) {
	i := slices.IndexFunc(s.Bundles, func(b KnownBundle) bool { return b.ID == id })
	if i < 0 {
		return sluicev1.Bundle{ID: id}, false
	}
	return s.Bundles[i].Bundle, true
}

// trim drops what is more than a state may have, the oldest first, and bundles that
// nobody names.
func (s *State) trim() {
	s.Quarantine = newest(s.Quarantine, maxQuarantine)
	named := map[string]bool{}
	if s.Candidate != nil {
		named[s.Candidate.Bundle] = true
	}
	for _, q := range s.Quarantine {
		named[q.Bundle] = true
	}
	for name, stage := range s.Stages {
		stage.Landings = stage.Landings[:min(len(stage.Landings), maxLandings)]
		stage.Approvals, stage.Overrides = newest(stage.Approvals, maxDecisions), newest(stage.Overrides, maxDecisions)
		stage.Ignored = newest(stage.Ignored, maxDecisions)
		s.Stages[name] = stage
		for _, id := range stage.bundles() {
			named[id] = true
		}
	}
	s.Bundles = slices.DeleteFunc(s.Bundles, func(b KnownBundle) bool { return !named[b.ID] })
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
