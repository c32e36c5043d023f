// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	v := versions{images: map[string]edit.Image{}, foundAt: map[string]string{}}
	others, err := x.addMarked(ctx, files, root, fields, v)
	if err != nil {
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
		return nil, fmt.Errorf("%w below %q%s", ErrNoFields, root, otherMarkersNote(fields, others))
	}
	return v.images, nil
}

// otherMarkersNote says which markers were found that are none of the policies, as the end of a
// sentence.
func otherMarkersNote(fields ArtifactFields, others []string) string {
	const most = 3
	if len(others) == 0 {
		return ""
	}
	var wanted []string
	for _, policy := range fields.Policies {
		wanted = append(wanted, fields.Namespace+":"+policy)
	}
	slices.Sort(wanted)
	more := ""
	if len(others) > most {
		more = fmt.Sprintf(" and %d more", len(others)-most)
	}
	return fmt.Sprintf(": there are markers of %s%s, and none of %s",
		strings.Join(others[:min(len(others), most)], ", "), more, strings.Join(slices.Compact(wanted), " or "))
}

// addMarked adds what marked fields hold, and says which markers are of other policies.
func (x *Index) addMarked(ctx context.Context, files Files, root string, fields ArtifactFields, v versions) (others []string, err error) {
	if len(fields.Policies) == 0 {
		return nil, nil
	}
	marked, err := x.Marked(ctx, files, root, fields.Namespace)
	if err != nil {
		return nil, err
	}
	artifacts := map[string][]string{} // by policy
	for _, artifact := range slices.Sorted(maps.Keys(fields.Policies)) {
		policy := fields.Policies[artifact]
		artifacts[policy] = append(artifacts[policy], artifact)
	}
	for _, file := range marked {
		for _, m := range file.Markers {
			where := fmt.Sprintf("%s:%d", file.Path, m.Line)
			switch {
			case m.Skip != "":
				continue
			case m.Setter.Namespace != fields.Namespace || artifacts[m.Setter.Policy] == nil:
				others = append(others, fmt.Sprintf("%s:%s (%s)", m.Setter.Namespace, m.Setter.Policy, where))
				continue
			}
			for _, artifact := range artifacts[m.Setter.Policy] {
				if err := v.add(artifact, where, edit.ParsePart(m.Value, m.Setter.Part)); err != nil {
					return nil, err
				}
			}
		}
	}
	return others, nil
}

// versions are those that were found, and where each was found first.
type versions struct {
	images  map[string]edit.Image
	foundAt map[string]string
}

// add takes what a field says of an artifact, which may be nothing.
func (v versions) add(artifact, where string, is edit.Image) error {
	has := v.images[artifact]
	for _, part := range []struct{ old, new *string }{{&has.Name, &is.Name}, {&has.Tag, &is.Tag}, {&has.Digest, &is.Digest}} {
		if *part.old != "" && *part.new != "" && *part.old != *part.new {
			return fmt.Errorf("%w: %s is at %q in %s and at %q in %s", ErrDisagree, artifact, *part.old, v.foundAt[artifact], *part.new, where)
		}
		if *part.old == "" {
			*part.old = *part.new
		}
	}
	v.images[artifact] = has
	if v.foundAt[artifact] == "" {
		v.foundAt[artifact] = where
	}
	return nil
}
