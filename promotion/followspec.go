// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Of events about what the spec calls otherwise, or has no more.
const (
	artifactRenamed      = "ArtifactRenamed"
	stageForgotten       = "StageForgotten"
	pullRequestAbandoned = "PullRequestAbandoned"
)

// followSpec makes the state one of the spec as it is now.
func followSpec(t transition) Decision {
	return t.then(renameArtifacts(t), forgetStages)
}

// imagesOf are those of the artifacts of the spec, as far as anything tells: their newest
// versions, or what stages have.
func imagesOf(seen Observation) map[string]string {
	images := map[string]string{}
	for _, stage := range seen.Stages {
		for _, t := range stage.Targets {
			for _, v := range t.Content.Versions {
				images[v.Artifact] = cmp.Or(images[v.Artifact], v.Image)
			}
		}
	}
	for name, newest := range seen.Newest {
		images[name] = cmp.Or(newest.Image, images[name])
	}
	return images
}

// renameArtifacts calls the artifacts of known bundles as the spec does. Which artifact one
// is, its image says: who renames it does not want its quarantine to end, or its verdicts.
func renameArtifacts(t transition) Decision {
	d, images, renamed := t.unchanged(), imagesOf(t.seen), map[string]string{}
	d.State.Bundles, d.State.Quarantine = slices.Clone(t.prev.Bundles), slices.Clone(t.prev.Quarantine)
	for i, known := range t.prev.Bundles {
		names := namesNow(t.seen.Spec.Artifacts, known.Versions, images)
		if len(names) == 0 {
			continue
		}
		d.State.Bundles[i].Versions = versionsCalled(known.Versions, names)
		for j, q := range t.prev.Quarantine {
			if q.Bundle == known.ID {
				d.State.Quarantine[j].Artifacts = artifactsCalled(q.Artifacts, names)
			}
		}
		maps.Copy(renamed, names)
	}
	for _, was := range slices.Sorted(maps.Keys(renamed)) {
		d.addEvent("", artifactRenamed, "artifact %s is called %s now: verdicts and quarantine go on", was, renamed[was])
	}
	return d
}

// versionsCalled are versions whose artifacts have these names now.
func versionsCalled(versions []sluicev1.Version, names map[string]string) []sluicev1.Version {
	called := slices.Clone(versions)
	for i, v := range called {
		called[i].Artifact = cmp.Or(names[v.Artifact], v.Artifact)
	}
	slices.SortFunc(called, func(a, b sluicev1.Version) int { return strings.Compare(a.Artifact, b.Artifact) })
	return called
}

// artifactsCalled are artifacts by the names that they have now.
func artifactsCalled(artifacts []string, names map[string]string) []string {
	called := slices.Clone(artifacts)
	for i, name := range called {
		called[i] = cmp.Or(names[name], name)
	}
	return called
}

// namesNow are the names of the artifacts that are called otherwise now, by what they were
// called.
func namesNow(artifacts []sluicev1.Artifact, versions []sluicev1.Version, images map[string]string) map[string]string {
	kept := map[string]bool{}
	for _, v := range versions {
		image, known := images[v.Artifact]
		inSpec := slices.ContainsFunc(artifacts, func(a sluicev1.Artifact) bool { return a.Name == v.Artifact })
		kept[v.Artifact] = inSpec && (v.Image == "" || !known || image == "" || image == v.Image)
	}
	names := map[string]string{}
	for _, v := range versions {
		if kept[v.Artifact] || v.Image == "" {
			continue
		}
		i := slices.IndexFunc(artifacts, func(a sluicev1.Artifact) bool { return images[a.Name] == v.Image && !kept[a.Name] })
		if i < 0 {
			continue
		}
		names[v.Artifact] = artifacts[i].Name
		kept[artifacts[i].Name] = true
	}
	return names
}

// forgetStages drops what is kept of stages that the spec does not have. One that is renamed
// is another one: what it has is verified anew. Of commands that are still there it is kept
// that they were handled.
func forgetStages(t transition) Decision {
	d := t.unchanged()
	d.State.Stages = maps.Clone(t.prev.Stages)
	for _, name := range slices.Sorted(maps.Keys(t.prev.Stages)) {
		if t.seen.Spec.Stage(name) != nil {
			continue
		}
		left := ""
		if p := t.prev.Stages[name].Proposal; p != nil && p.Number > 0 {
			left = fmt.Sprintf("; its pull request #%d is left open: close it", p.Number)
		}
		delete(d.State.Stages, name)
		d.warn(name, stageForgotten, "there is no stage %s any more: its landings, verdicts, approvals and its hold are forgotten%s", name, left)
	}
	isLeft := func(key string) bool {
		_, stage, _ := strings.Cut(key, "/")
		return t.seen.Spec.Stage(stage) != nil || slices.ContainsFunc(t.seen.Commands, func(c Command) bool { return c.key() == key })
	}
	d.State.Handled = entriesOf(t.prev.Handled, isLeft)
	d.State.Refused = entriesOf(t.prev.Refused, isLeft)
	d.State.Unguarded = entriesOf(t.prev.Unguarded, isLeft)
	return d
}

// entriesOf are the entries of a map whose keys are accepted.
func entriesOf[V any](of map[string]V, accepts func(key string) bool) map[string]V {
	entries := maps.Clone(of)
	maps.DeleteFunc(entries, func(key string, _ V) bool { return !accepts(key) })
	return entries
}
