// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Of events about what the spec calls otherwise, or has no more.
const (
	artifactRenamed      = "ArtifactRenamed"
	stageForgotten       = "StageForgotten"
	pullRequestAbandoned = "PullRequestAbandoned"
)

// followSpec makes the state one of the spec as it is now.
func (r *transition) followSpec() {
	r.renameArtifacts()
	r.forgetStages()
}

// images are those of the artifacts of the spec, as far as anything tells: their newest
// versions, or what stages have.
func (r *transition) images() map[string]string {
	images := map[string]string{}
	for _, seen := range r.seen.Stages {
		for _, t := range seen.Targets {
			for _, v := range t.Content.Versions {
				images[v.Artifact] = cmp.Or(images[v.Artifact], v.Image)
			}
		}
	}
	for name, newest := range r.seen.Newest {
		images[name] = cmp.Or(newest.Image, images[name])
	}
	return images
}

// renameArtifacts calls the artifacts of known bundles as the spec does. Which artifact one
// is, its image says: who renames it does not want its quarantine to end, or its verdicts.
func (r *transition) renameArtifacts() {
	images, renamed := r.images(), map[string]string{}
	for i := range r.State.Bundles {
		known := &r.State.Bundles[i]
		names := r.namesNow(known.Versions, images)
		if len(names) == 0 {
			continue
		}
		known.Versions = slices.Clone(known.Versions)
		for j := range known.Versions {
			known.Versions[j].Artifact = cmp.Or(names[known.Versions[j].Artifact], known.Versions[j].Artifact)
		}
		slices.SortFunc(known.Versions, func(a, b sluicev1.Version) int { return strings.Compare(a.Artifact, b.Artifact) })
		for j := range r.State.Quarantine {
			if q := &r.State.Quarantine[j]; q.Bundle == known.ID {
				q.Artifacts = slices.Clone(q.Artifacts)
				for k, name := range q.Artifacts {
					q.Artifacts[k] = cmp.Or(names[name], name)
				}
			}
		}
		maps.Copy(renamed, names)
	}
	for _, was := range slices.Sorted(maps.Keys(renamed)) {
		r.addEvent("", artifactRenamed, "artifact %s is called %s now: verdicts and quarantine go on", was, renamed[was])
	}
}

// namesNow are the names of the artifacts that are called otherwise now, by what they were
// called.
func (r *transition) namesNow(versions []sluicev1.Version, images map[string]string) map[string]string {
	kept := map[string]bool{}
	for _, v := range versions {
		image, known := images[v.Artifact]
		inSpec := slices.ContainsFunc(r.seen.Spec.Artifacts, func(a sluicev1.Artifact) bool { return a.Name == v.Artifact })
		kept[v.Artifact] = inSpec && (v.Image == "" || !known || image == "" || image == v.Image)
	}
	var names map[string]string
	for _, v := range versions {
		if kept[v.Artifact] || v.Image == "" {
			continue
		}
		i := slices.IndexFunc(r.seen.Spec.Artifacts, func(a sluicev1.Artifact) bool { return images[a.Name] == v.Image && !kept[a.Name] })
		if i < 0 {
			continue
		}
		if names == nil {
			names = map[string]string{}
		}
		names[v.Artifact] = r.seen.Spec.Artifacts[i].Name
		kept[r.seen.Spec.Artifacts[i].Name] = true
	}
	return names
}

// forgetStages drops what is kept of stages that the spec does not have. One that is renamed
// is another one: what it has is verified anew. Of commands that are still there it is kept
// that they were handled.
func (r *transition) forgetStages() {
	for _, name := range slices.Sorted(maps.Keys(r.State.Stages)) {
		if r.seen.Spec.Stage(name) != nil {
			continue
		}
		left := ""
		if p := r.State.Stages[name].Proposal; p != nil && p.Number > 0 {
			left = fmt.Sprintf("; its pull request #%d is left open: close it", p.Number)
		}
		delete(r.State.Stages, name)
		r.warn(name, stageForgotten, "there is no stage %s any more: its landings, verdicts, approvals and its hold are forgotten%s", name, left)
	}
	gone := func(key string) bool {
		_, stage, _ := strings.Cut(key, "/")
		return r.seen.Spec.Stage(stage) == nil && !slices.ContainsFunc(r.seen.Commands, func(c Command) bool { return c.key() == key })
	}
	maps.DeleteFunc(r.State.Handled, func(key string, _ time.Time) bool { return gone(key) })
	maps.DeleteFunc(r.State.Refused, func(key, _ string) bool { return gone(key) })
	maps.DeleteFunc(r.State.Unguarded, func(key string, _ time.Time) bool { return gone(key) })
}
