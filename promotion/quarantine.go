// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// quarantineAfter is the quarantine of a bundle that failed in the stage.
func quarantineAfter(s stageTransition, failed, why string) Quarantine {
	entry := Quarantine{Bundle: failed, Stage: s.spec.Name, Reason: why, At: s.now, Artifacts: changedArtifacts(s.prev, s.pipeline, failed)}
	if after := s.spec.OnFailure.Quarantine; after != nil {
		until := s.now.Add(after.Duration)
		entry.Until = &until
	}
	return entry
}

// changedArtifacts are the artifacts whose versions may be why a bundle failed: those that the
// stage was not verified with before. Nil is all of them.
func changedArtifacts(stage StageState, pipeline State, failed string) []string {
	id := stage.verifiedBefore(func(id string) bool { return id != failed && pipeline.quarantined(id) == nil })
	if id == "" {
		return nil
	}
	good, _ := pipeline.Bundle(id)
	bad, _ := pipeline.Bundle(failed)
	var changed []string
	for _, version := range bad.Versions {
		if !slices.ContainsFunc(good.Versions, func(was sluicev1.Version) bool { return sameVersion(was, version) }) {
			changed = append(changed, version.Artifact)
		}
	}
	if len(changed) == len(bad.Versions) {
		return nil
	}
	return changed
}

// quarantined is the quarantine of a bundle, nil if it is in none.
func (s State) quarantined(bundle string) *Quarantine {
	return s.findQuarantine(func(q Quarantine) bool { return q.Bundle == bundle })
}

// excluding is the quarantine that a bundle is in, itself or by a version that is
// suspected; nil if there is none. One that somebody has overridden by a commit excludes
// nothing.
func (s State) excluding(b sluicev1.Bundle) *Quarantine {
	return s.findQuarantine(func(q Quarantine) bool { return s.excludes(q, b) })
}

// findQuarantine is a copy of the first that matches, nil if none does.
func (s State) findQuarantine(matches func(Quarantine) bool) *Quarantine {
	i := slices.IndexFunc(s.Quarantine, matches)
	if i < 0 {
		return nil
	}
	found := s.Quarantine[i]
	return &found
}

// withQuarantine is the state with the quarantine of a bundle, in the place of the one that it had.
func (s State) withQuarantine(q Quarantine) State {
	others := slices.Clone(s.Quarantine)
	if i := slices.IndexFunc(others, func(was Quarantine) bool { return was.Bundle == q.Bundle }); i >= 0 {
		others[i] = q
		s.Quarantine = others
		return s
	}
	s.Quarantine = append(others, q)
	return s
}

// excludes reports whether a quarantine is about a bundle.
func (s State) excludes(q Quarantine, b sluicev1.Bundle) bool {
	if q.Overridden != nil {
		return false
	}
	failed, _ := s.Bundle(q.Bundle)
	return q.Bundle == b.ID || slices.ContainsFunc(failed.Versions, func(v sluicev1.Version) bool {
		suspected := len(q.Artifacts) == 0 || slices.Contains(q.Artifacts, v.Artifact)
		return suspected && slices.ContainsFunc(b.Versions, func(is sluicev1.Version) bool { return sameVersion(is, v) })
	})
}

// fallsBackFromQuarantine reports whether a bundle differs from the last candidate only in versions that
// stand in for others in quarantine, and returns the last candidate. Such a bundle is no
// news: nobody pushed anything, and what failed in one stage is no reason to take another
// stage back, or to give it what it never had.
func fallsBackFromQuarantine(t transition, b sluicev1.Bundle) (sluicev1.Bundle, bool) {
	if t.prev.Candidate == nil {
		return b, false
	}
	last, known := t.prev.Bundle(t.prev.Candidate.Bundle)
	if !known || last.ID == b.ID {
		return b, false
	}
	for _, v := range b.Versions {
		same := slices.ContainsFunc(last.Versions, func(was sluicev1.Version) bool { return sameVersion(was, v) })
		if !same && !t.seen.Newest[v.Artifact].StandsIn {
			return b, false
		}
	}
	return last, true
}
