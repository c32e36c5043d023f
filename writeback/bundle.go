// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// ErrDisagree means that two fields of an artifact have values of different versions.
var ErrDisagree = errors.New("fields of the same artifact disagree")

// ErrNoMarkers means that no field below a path is about any of the artifacts.
var ErrNoMarkers = errors.New("no field has a marker of the policies, or is named by a setter")

// BundleEdits write the versions of a bundle below the paths of a stage: fields with a
// marker of one of the policies get the version of the bundle, whatever the policy
// chooses now, and so do the fields that setters name. It is one commit: if one of the
// fields cannot be written, none is.
type BundleEdits struct {
	// Namespace of the policies.
	Namespace string
	// Paths are directories or files; "" is everything.
	Paths []string
	// Images by the name of their policy, for markers.
	Images map[string]edit.Image
	// Setters are fields without markers below each of the paths, and Artifacts the
	// images by the name of their artifact, for setters.
	Setters   []Setter
	Artifacts map[string]edit.Image
}

var _ Edits = BundleEdits{}

// Plan implements [Edits].
func (e BundleEdits) Plan(ctx context.Context, index *Index, files Files) (Planned, error) {
	all := Planned{Contents: map[string][]byte{}}
	for _, path := range e.Paths {
		one, err := ImageEdits{Path: path, Policies: Policies{Namespace: e.Namespace, Chosen: e.Images}}.Plan(ctx, index, files)
		if err != nil {
			return Planned{}, err
		}
		if one.Held != nil {
			return Planned{}, one.Held // half a bundle is none
		}
		maps.Copy(all.Contents, one.Contents)
		all.Changed.merge(one.Changed)
		all.Report = append(all.Report, one.Report...)
	}
	if err := e.set(ctx, index, files, &all); err != nil {
		return Planned{}, err
	}
	return all, nil
}

// Split implements [Edits]: a bundle is one commit.
func (e BundleEdits) Split(Planned) []Edits { return nil }

// WithoutReverted implements [Edits]. Who decided on the bundle knows what was reverted.
func (e BundleEdits) WithoutReverted(context.Context, *Index, Planned, History) ([]RevertedUpdate, Edits) {
	return nil, e
}

// Versions are the images that the fields below root have, by the name of the policy
// that marks them: the parts of an image that fields hold. Only some policies of one
// namespace count. It fails with [ErrDisagree] if fields have different versions, and
// with [ErrNoMarkers] if there is no field.
func (x *Index) Versions(ctx context.Context, files Files, root, namespace string, policies map[string]bool) (map[string]edit.Image, error) {
	of := map[string]string{}
	for policy, counts := range policies {
		if counts {
			of[policy] = policy
		}
	}
	return x.ArtifactVersions(ctx, files, root, ArtifactFields{Namespace: namespace, Policies: of})
}

// ArtifactFields says which fields hold the versions of artifacts.
type ArtifactFields struct {
	// Namespace of the policies.
	Namespace string
	// Policies are the names of ImagePolicies by that of their artifact; their markers
	// count. An artifact without one has setters alone.
	Policies map[string]string
	// Setters are the fields without markers.
	Setters []Setter
}

// ArtifactVersions are the images that the fields below root have, by the name of their
// artifact, whether they are marked or named by setters. It fails with [ErrDisagree] if
// fields of an artifact have different versions, with an [ErrSetter] if a setter finds
// no field, and with [ErrNoMarkers] if there is no field at all.
func (x *Index) ArtifactVersions(ctx context.Context, files Files, root string, fields ArtifactFields) (map[string]edit.Image, error) {
	v := versions{images: map[string]edit.Image{}, where: map[string]string{}}
	if err := x.addMarked(ctx, files, root, fields, v); err != nil {
		return nil, err
	}
	f := setterFiles{index: x, files: files, namespace: fields.Namespace}
	for _, s := range fields.Setters {
		var image edit.Image
		where := ""
		err := f.visit(ctx, root, s, func(name string, content []byte) (err error) {
			where = name
			image, err = s.Field.Get(content)
			return err
		})
		if err == nil {
			err = v.add(s.Artifact, where, image)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(v.images) == 0 {
		return nil, fmt.Errorf("%w below %q", ErrNoMarkers, root)
	}
	return v.images, nil
}

// addMarked adds what marked fields hold.
func (x *Index) addMarked(ctx context.Context, files Files, root string, fields ArtifactFields, v versions) error {
	if len(fields.Policies) == 0 {
		return nil
	}
	marked, err := x.Marked(ctx, files, root, fields.Namespace)
	if err != nil {
		return err
	}
	artifacts := map[string][]string{} // by policy
	for _, artifact := range slices.Sorted(maps.Keys(fields.Policies)) {
		artifacts[fields.Policies[artifact]] = append(artifacts[fields.Policies[artifact]], artifact)
	}
	for _, file := range marked {
		for _, m := range file.Markers {
			if m.Skip != "" || m.Setter.Namespace != fields.Namespace {
				continue
			}
			for _, artifact := range artifacts[m.Setter.Policy] {
				where := fmt.Sprintf("%s:%d", file.Path, m.Line)
				if err := v.add(artifact, where, edit.ParsePart(m.Value, m.Setter.Part)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// versions are those that were found, and where each was found first.
type versions struct {
	images map[string]edit.Image
	where  map[string]string
}

// add takes what a field says of an artifact, which may be nothing.
func (v versions) add(artifact, where string, is edit.Image) error {
	has := v.images[artifact]
	for _, part := range []struct{ old, new *string }{{&has.Name, &is.Name}, {&has.Tag, &is.Tag}, {&has.Digest, &is.Digest}} {
		if *part.old != "" && *part.new != "" && *part.old != *part.new {
			return fmt.Errorf("%w: %s is at %q in %s and at %q in %s", ErrDisagree, artifact, *part.old, v.where[artifact], *part.new, where)
		}
		if *part.old == "" {
			*part.old = *part.new
		}
	}
	v.images[artifact] = has
	if v.where[artifact] == "" {
		v.where[artifact] = where
	}
	return nil
}
