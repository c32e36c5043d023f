// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Decide computes what to do, and the next state.
func Decide(prev State, seen Observation, now time.Time) Decision {
	r := &transition{seen: seen, now: now}
	r.State = prev.Clone()
	r.State.Lost = r.State.Lost || seen.StateLost
	r.Missing = seen.Absent
	r.followSpec()
	r.chooseCandidate()
	r.carryOutCommands()
	for i := range seen.Spec.Stages {
		s := r.stage(&seen.Spec.Stages[i])
		if !s.seen.isUnseen() {
			s.add(recordContent(s.from()))
			s.add(verify(s.from()))
		}
		r.saveStage(s)
	}
	for i := range seen.Spec.Stages {
		s := r.stage(&seen.Spec.Stages[i])
		d := advance(s.from())
		s.add(d)
		r.saveStage(s)
		r.Stages = append(r.Stages, d.status)
		r.Missing = cmp.Or(r.Missing, d.missing)
	}
	r.State.trim()
	return r.Decision
}

// transition is one run of Decide, from the last state to the next. Its state is a copy of the
// last one, which is changed step by step: each part goes on from where the one before left it.
type transition struct {
	Decision
	seen Observation
	now  time.Time
}

func (r *transition) stage(spec *sluicev1.Stage) *stage {
	return &stage{transition: r, now: r.now, spec: spec, seen: r.seen.Stages[spec.Name], state: r.State.Stages[spec.Name]}
}

// saveStage puts what was decided about a stage into the state.
func (r *transition) saveStage(s *stage) {
	if r.State.Stages == nil {
		r.State.Stages = map[string]StageState{}
	}
	r.State.Stages[s.spec.Name] = s.state
}

// chooseCandidate notes the newest bundle. While versions wait for others, or an object tells of
// none, that is the last one: what was chosen goes on, and its pull request stays open.
func (r *transition) chooseCandidate() {
	r.Candidate, r.Waiting = r.candidate()
	if r.Candidate == nil {
		r.Candidate = r.lastCandidate()
		return
	}
	r.State = r.State.withBundle(*r.Candidate, r.now)
	if was := r.State.Candidate; was == nil || was.Bundle != r.Candidate.ID {
		r.State.Candidate = &Candidate{Bundle: r.Candidate.ID, Since: r.now}
	}
}

// lastCandidate is the last bundle that was the newest; nil if there is none, or if it is not of
// the artifacts of the spec, and of their images, any more.
func (r *transition) lastCandidate() *sluicev1.Bundle {
	if r.State.Candidate == nil {
		return nil
	}
	last, known := r.State.Bundle(r.State.Candidate.Bundle)
	isOther := func(a sluicev1.Artifact) bool {
		i := slices.IndexFunc(last.Versions, func(v sluicev1.Version) bool { return v.Artifact == a.Name })
		return i < 0 || !agrees(sluicev1.Version{Image: last.Versions[i].Image}, sluicev1.Version{Image: r.seen.Newest[a.Name].Image})
	}
	if !known || len(last.Versions) != len(r.seen.Spec.Artifacts) || slices.ContainsFunc(r.seen.Spec.Artifacts, isOther) {
		return nil
	}
	return &last
}

// candidate is the newest bundle, or says what it waits for.
func (r *transition) candidate() (*sluicev1.Bundle, string) {
	var versions []sluicev1.Version
	for _, a := range r.seen.Spec.Artifacts {
		newest, ok := r.seen.Newest[a.Name]
		if !ok {
			return nil, cmp.Or(r.seen.NotReady[a.Name], fmt.Sprintf("artifact %s has no version", a.Name))
		}
		v := newest.Version
		v.Artifact = a.Name
		versions = append(versions, v)
	}
	b := r.State.bundleOf(versions)
	if last, ok := r.fallsBackFromQuarantine(b); ok {
		return &last, ""
	}
	if waits := r.waitsForOthers(versions); waits != "" {
		return nil, waits
	}
	return &b, ""
}

// waitsForOthers says which versions have to come before these are a bundle.
func (r *transition) waitsForOthers(versions []sluicev1.Version) string {
	together := r.seen.Spec.Together
	if together == nil {
		r.State.Changed = nil
		return ""
	}
	if together.SameTag {
		for _, v := range versions[1:] {
			if v.Tag != versions[0].Tag || v.Tag == "" {
				return fmt.Sprintf("waiting for versions with the same tag: %s", Describe(sluicev1.Bundle{Versions: versions}))
			}
		}
	}
	if together.WaitFor == nil || together.SameTag {
		r.State.Changed = nil
		return ""
	}
	changed, same := r.changes(versions)
	if len(changed) == 0 || len(same) == 0 {
		r.State.Changed = nil
		return ""
	}
	if r.State.Changed == nil {
		r.State.Changed = &r.now
	}
	deadline := r.State.Changed.Add(together.WaitFor.Duration)
	if !r.now.Before(deadline) {
		return ""
	}
	r.requeueAt(deadline, r.now)
	return fmt.Sprintf("%s changed: waiting until %s for %s", strings.Join(changed, ", "),
		deadline.UTC().Format(time.RFC3339), strings.Join(same, ", "))
}

// changes are the artifacts whose versions differ from the last bundle, and those that are
// the same. Without a last bundle there are none.
func (r *transition) changes(versions []sluicev1.Version) (changed, same []string) {
	last, ok := r.lastBundle()
	if !ok {
		return nil, nil
	}
	for _, v := range versions {
		if slices.ContainsFunc(last.Versions, func(was sluicev1.Version) bool { return was.Artifact == v.Artifact && agrees(was, v) }) {
			same = append(same, v.Artifact)
		} else {
			changed = append(changed, v.Artifact)
		}
	}
	return changed, same
}

// lastBundle is the one that a stage without others before it was given last.
func (r *transition) lastBundle() (sluicev1.Bundle, bool) {
	for _, stage := range r.seen.Spec.Stages {
		if stage.After != nil {
			continue
		}
		state := r.State.Stages[stage.Name]
		switch {
		case state.Writing != nil:
			return r.State.Bundle(state.Writing.Bundle)
		case state.Proposal != nil:
			return r.State.Bundle(state.Proposal.Bundle)
		case len(state.Landings) > 0:
			return r.State.Bundle(state.Landings[0].Bundle)
		}
	}
	return sluicev1.Bundle{}, false
}
