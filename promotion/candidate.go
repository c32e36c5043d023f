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

// chooseCandidate notes the newest bundle. While versions wait for others, or an object tells of
// none, that is the last one: what was chosen goes on, and its pull request stays open.
func chooseCandidate(t transition) Decision {
	d := t.unchanged()
	versions, lacks := newestVersions(t.seen)
	if lacks != "" {
		d.Candidate, d.Waiting = lastCandidate(t), lacks
		return d
	}
	b := t.prev.bundleOf(versions)
	if last, ok := fallsBackFromQuarantine(t, b); ok {
		b = last
	} else {
		others := waitForOthers(t, versions)
		d.State.Changed = others.changed
		d.requeueAt(others.until, t.now)
		if others.message != "" {
			d.Candidate, d.Waiting = lastCandidate(t), others.message
			return d
		}
	}
	d.Candidate, d.State = &b, d.State.withBundle(b, t.now)
	if was := t.prev.Candidate; was == nil || was.Bundle != b.ID {
		d.State.Candidate = &Candidate{Bundle: b.ID, Since: t.now}
	}
	return d
}

// lastCandidate is the last bundle that was the newest; nil if there is none, or if it is not of
// the artifacts of the spec, and of their images, any more.
func lastCandidate(t transition) *sluicev1.Bundle {
	if t.prev.Candidate == nil {
		return nil
	}
	last, known := t.prev.Bundle(t.prev.Candidate.Bundle)
	isOther := func(a sluicev1.Artifact) bool {
		i := slices.IndexFunc(last.Versions, func(v sluicev1.Version) bool { return v.Artifact == a.Name })
		return i < 0 || !agrees(sluicev1.Version{Image: last.Versions[i].Image}, sluicev1.Version{Image: t.seen.Newest[a.Name].Image})
	}
	if !known || len(last.Versions) != len(t.seen.Spec.Artifacts) || slices.ContainsFunc(t.seen.Spec.Artifacts, isOther) {
		return nil
	}
	return &last
}

// newestVersions are those of the artifacts of the spec, or says which one has none.
func newestVersions(seen Observation) (versions []sluicev1.Version, lacks string) {
	for _, a := range seen.Spec.Artifacts {
		newest, ok := seen.Newest[a.Name]
		if !ok {
			return nil, cmp.Or(seen.NotReady[a.Name], fmt.Sprintf("artifact %s has no version", a.Name))
		}
		v := newest.Version
		v.Artifact = a.Name
		versions = append(versions, v)
	}
	return versions, ""
}

// versionsWait is what versions wait for before they are a bundle; its zero value is nothing.
type versionsWait struct {
	message string
	changed *time.Time // since when some have changed, and others have not
	until   time.Time
}

// waitForOthers says which versions have to come before these are a bundle.
func waitForOthers(t transition, versions []sluicev1.Version) versionsWait {
	together := t.seen.Spec.Together
	if together == nil {
		return versionsWait{}
	}
	differs := func(v sluicev1.Version) bool { return v.Tag != versions[0].Tag || v.Tag == "" }
	if together.SameTag && slices.ContainsFunc(versions[1:], differs) {
		return versionsWait{
			message: "waiting for versions with the same tag: " + Describe(sluicev1.Bundle{Versions: versions}), changed: t.prev.Changed,
		}
	}
	changed, same := changes(t, versions)
	if together.WaitFor == nil || together.SameTag || len(changed) == 0 || len(same) == 0 {
		return versionsWait{}
	}
	wait := versionsWait{changed: cmp.Or(t.prev.Changed, &t.now)}
	if until := wait.changed.Add(together.WaitFor.Duration); t.now.Before(until) {
		wait.until = until
		wait.message = fmt.Sprintf("%s changed: waiting until %s for %s", strings.Join(changed, ", "),
			until.UTC().Format(time.RFC3339), strings.Join(same, ", "))
	}
	return wait
}

// changes are the artifacts whose versions differ from the last bundle, and those that are
// the same. Without a last bundle there are none.
func changes(t transition, versions []sluicev1.Version) (changed, same []string) {
	last, ok := lastBundle(t)
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
func lastBundle(t transition) (sluicev1.Bundle, bool) {
	for _, stage := range t.seen.Spec.Stages {
		if stage.After != nil {
			continue
		}
		state := t.prev.Stages[stage.Name]
		switch {
		case state.Writing != nil:
			return t.prev.Bundle(state.Writing.Bundle)
		case state.Proposal != nil:
			return t.prev.Bundle(state.Proposal.Bundle)
		case len(state.Landings) > 0:
			return t.prev.Bundle(state.Landings[0].Bundle)
		}
	}
	return sluicev1.Bundle{}, false
}
