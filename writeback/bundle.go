// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// ErrDisagree means that two markers of a policy have values of different versions.
var ErrDisagree = errors.New("fields of the same policy disagree")

// ErrNoMarkers means that no field below a path is about any of the policies.
var ErrNoMarkers = errors.New("no field has a marker of the policies")

// BundleEdits write the versions of a bundle below the paths of a stage: fields with a
// marker of one of the policies get the version of the bundle, whatever the policy
// chooses now.
type BundleEdits struct {
	// Namespace of the policies.
	Namespace string
	// Paths are directories or files; "" is everything.
	Paths []string
	// Images by the name of their policy.
	Images map[string]edit.Image
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
	marked, err := x.Marked(ctx, files, root, namespace)
	if err != nil {
		return nil, err
	}
	v := versions{images: map[string]edit.Image{}, where: map[string]string{}}
	for _, file := range marked {
		for _, m := range file.Markers {
			if m.Skip != "" || m.Setter.Namespace != namespace || !policies[m.Setter.Policy] {
				continue
			}
			if err := v.add(fmt.Sprintf("%s:%d", file.Path, m.Line), m); err != nil {
				return nil, err
			}
		}
	}
	if len(v.images) == 0 {
		return nil, fmt.Errorf("%w below %q", ErrNoMarkers, root)
	}
	return v.images, nil
}

// versions are those that were found, and where each was found first.
type versions struct {
	images map[string]edit.Image
	where  map[string]string
}

func (v versions) add(where string, m edit.Marker) error {
	has, is := v.images[m.Setter.Policy], valueOf(m)
	for _, part := range []struct{ old, new *string }{{&has.Name, &is.Name}, {&has.Tag, &is.Tag}, {&has.Digest, &is.Digest}} {
		if *part.old != "" && *part.new != "" && *part.old != *part.new {
			return fmt.Errorf("%w: policy %s is at %q in %s and at %q in %s", ErrDisagree, m.Setter.Policy, *part.old, v.where[m.Setter.Policy], *part.new, where)
		}
		if *part.old == "" {
			*part.old = *part.new
		}
	}
	v.images[m.Setter.Policy] = has
	if v.where[m.Setter.Policy] == "" {
		v.where[m.Setter.Policy] = where
	}
	return nil
}

// valueOf is what a field says of an image.
func valueOf(m edit.Marker) edit.Image {
	switch m.Setter.Part {
	case edit.Tag:
		return edit.Image{Tag: m.Value}
	case edit.Name:
		return edit.Image{Name: m.Value}
	case edit.Digest:
		return edit.Image{Digest: m.Value}
	}
	name, digest, _ := strings.Cut(m.Value, "@")
	tag := ""
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name, tag = name[:colon], name[colon+1:]
	}
	return edit.Image{Name: name, Tag: tag, Digest: digest}
}
