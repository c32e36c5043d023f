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

// ErrDisagree means that an artifact would have two versions at a time.
var ErrDisagree = errors.New("fields of the same artifact disagree")

// ErrNoFields means that nothing below a path holds a version of the artifacts.
var ErrNoFields = errors.New("no field has a marker of the policies, or is named by a setter")

// Versions are the images that fields below root have, by artifact: the parts of an image
// that are in them. It fails with [ErrDisagree] if fields of an artifact have different
// versions, with an [ErrSetter] if a setter finds no field, and with [ErrNoFields] if there
// is no field at all.
func (x *Index) Versions(ctx context.Context, files Files, root string, fields ArtifactFields) (map[string]edit.Image, error) {
	v := versions{images: map[string]edit.Image{}, where: map[string]string{}}
	if err := x.addMarked(ctx, files, root, fields, v); err != nil {
		return nil, err
	}
	f := setterFiles{index: x, files: files, namespace: fields.Namespace}
	for _, s := range fields.Setters {
		name, err := s.find(files, root)
		if err != nil {
			return nil, err
		}
		var image edit.Image
		err = f.visit(ctx, name, s, func(content []byte) (err error) {
			image, err = s.Field.Get(content)
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := v.add(s.Artifact, name, image); err != nil {
			return nil, err
		}
	}
	if len(v.images) == 0 {
		return nil, fmt.Errorf("%w below %q", ErrNoFields, root)
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
		policy := fields.Policies[artifact]
		artifacts[policy] = append(artifacts[policy], artifact)
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
