// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// ArtifactFields are the fields that hold the versions of artifacts: those with a marker
// of an artifact's ImagePolicy, and those that a setter names.
type ArtifactFields struct {
	// Namespace of the policies.
	Namespace string
	// Policies are the names of ImagePolicies, by artifact. An artifact without one has
	// setters alone.
	Policies map[string]string
	// Setters are the fields without markers.
	Setters []FieldSetter
}

// byPolicy are the images of artifacts by their policy, which is what markers name.
func (f ArtifactFields) byPolicy(images map[string]edit.Image) (map[string]edit.Image, error) {
	chosen, artifacts := map[string]edit.Image{}, map[string]string{}
	for _, artifact := range slices.Sorted(maps.Keys(images)) {
		policy, ok := f.Policies[artifact]
		if !ok {
			continue
		}
		if other, twice := chosen[policy]; twice && other != images[artifact] {
			return nil, fmt.Errorf("%w: artifacts %s and %s have the same policy %s, whose markers cannot have both",
				ErrDisagree, artifacts[policy], artifact, policy)
		}
		chosen[policy], artifacts[policy] = images[artifact], artifact
	}
	return chosen, nil
}

// BundleEdits write the versions of a bundle below the paths of a stage: fields with a
// marker get the version of the bundle, whatever their policy chooses now, and so do the
// fields that setters name. It is one commit: if one of the fields cannot be written, none
// is.
type BundleEdits struct {
	// Paths are directories or files; "" is everything. Setters are relative to each.
	Paths  []string
	Fields ArtifactFields
	// Images to write, by artifact. Fields of other artifacts stay as they are.
	Images map[string]edit.Image
}

var _ Edits = BundleEdits{}

// Plan implements [Edits].
func (e BundleEdits) Plan(ctx context.Context, index *Index, files Files) (Planned, error) {
	chosen, err := e.Fields.byPolicy(e.Images)
	if err != nil {
		return Planned{}, err
	}
	all := Planned{Contents: map[string][]byte{}}
	for _, path := range e.Paths {
		one, err := ImageEdits{Path: path, Policies: Policies{Namespace: e.Fields.Namespace, Chosen: chosen}}.Plan(ctx, index, files)
		if err != nil {
			return Planned{}, err
		}
		if one.Held != nil {
			return Planned{}, one.Held // half a bundle is none
		}
		maps.Copy(all.Contents, one.Contents)
		if sizeOf(all.Contents) > maxContents {
			return Planned{}, ErrTooMuchChanged
		}
		all.Changed.merge(one.Changed)
		all.Report = append(all.Report, one.Report...)
	}
	if err := e.planSetters(ctx, index, files, &all); err != nil {
		return Planned{}, err
	}
	return all, nil
}

// planSetters adds the changes that setters make below the paths. What two paths share is
// visited once.
func (e BundleEdits) planSetters(ctx context.Context, index *Index, files Files, planned *Planned) error {
	f := setterFiles{index: index, files: files, namespace: e.Fields.Namespace, contents: planned.Contents}
	type field struct {
		file   string
		setter int
	}
	seen := map[field]bool{}
	for _, root := range e.Paths {
		for i, s := range e.Fields.Setters {
			image, ok := e.Images[s.Artifact]
			if !ok {
				continue
			}
			name, err := s.find(files, root)
			if err != nil {
				return err
			}
			if seen[field{name, i}] {
				continue
			}
			seen[field{name, i}] = true
			err = f.visit(ctx, name, s, func(content []byte) error { return planned.set(name, content, s, image, e.Fields.Namespace) })
			if err != nil {
				return err
			}
			if sizeOf(planned.Contents) > maxContents {
				return ErrTooMuchChanged
			}
		}
	}
	return nil
}

// set adds what a setter makes of a file.
func (p *Planned) set(name string, content []byte, s FieldSetter, image edit.Image, namespace string) error {
	edited, outcomes, err := s.Field.Set(content, image)
	if err != nil {
		return err
	}
	for i := range outcomes {
		outcomes[i].Setter.Namespace, outcomes[i].Setter.Policy = namespace, s.Artifact
	}
	p.add(name, edited, outcomes)
	p.Report = append(p.Report, FileReport{Path: name, Outcomes: outcomes})
	return nil
}

// sizeOf is the number of bytes of contents.
func sizeOf(contents map[string][]byte) int {
	size := 0
	for _, content := range contents {
		size += len(content)
	}
	return size
}

// Split implements [Edits]: a bundle is one commit.
func (e BundleEdits) Split(Planned) []Edits { return nil }

// WithoutReverted implements [Edits]. Who decided on the bundle knows what was reverted.
func (e BundleEdits) WithoutReverted(context.Context, *Index, Planned, History) ([]RevertedUpdate, Edits) {
	return nil, e
}
