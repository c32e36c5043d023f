// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// changedArtifacts are the artifacts whose versions may be why a bundle failed: those that the
// stage was not verified with before. Nil is all of them.
func (v verifier) changedArtifacts(failed string) []string {
	good := v.stage.state.verifiedBefore(func(id string) bool { return id != failed && v.stage.quarantined(id) == nil })
	if good == "" {
		return nil
	}
	known := v.stage.bundle(good)
	var changed []string
	versions := v.stage.bundle(failed).Versions
	for _, version := range versions {
		if !slices.ContainsFunc(known.Versions, func(was sluicev1.Version) bool { return sameVersion(was, version) }) {
			changed = append(changed, version.Artifact)
		}
	}
	if len(changed) == len(versions) {
		return nil
	}
	return changed
}

// excluding is the quarantine that a bundle is in, itself or by a version that is
// suspected; nil if there is none. One that somebody has overridden by a commit excludes
// nothing.
func (s *State) excluding(b sluicev1.Bundle) *Quarantine {
	for i := range s.Quarantine {
		if s.excludes(s.Quarantine[i], b) {
			return &s.Quarantine[i]
		}
	}
	return nil
}

// excludes reports whether a quarantine is about a bundle.
func (s *State) excludes(q Quarantine, b sluicev1.Bundle) bool {
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
func (r *transition) fallsBackFromQuarantine(b sluicev1.Bundle) (sluicev1.Bundle, bool) {
	if r.State.Candidate == nil {
		return b, false
	}
	last, known := r.State.Bundle(r.State.Candidate.Bundle)
	if !known || last.ID == b.ID {
		return b, false
	}
	for _, v := range b.Versions {
		same := slices.ContainsFunc(last.Versions, func(was sluicev1.Version) bool { return sameVersion(was, v) })
		if !same && !r.seen.Newest[v.Artifact].StandsIn {
			return b, false
		}
	}
	return last, true
}
