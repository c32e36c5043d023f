// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// ErrSetter means that the field of a setter cannot be read or written. It takes
// another commit, or another setter, to mend that.
var ErrSetter = errors.New("the setter does not fit its file")

// SetterError says which setter does not fit, and why.
type SetterError struct {
	Artifact, File string // the path of the file in the repository
	Err            error
}

// Error names the artifact, the file and the field.
func (e *SetterError) Error() string {
	return fmt.Sprintf("%s: setter of artifact %s in %s: %s", ErrSetter, e.Artifact, e.File, e.Err)
}

// Unwrap makes it an [ErrSetter], and what the cause is.
func (e *SetterError) Unwrap() []error { return []error{ErrSetter, e.Err} }

// FieldSetter is a field without a marker that gets the version of an artifact.
type FieldSetter struct {
	Artifact string
	// File is a path from the path of a stage. It may leave that, not the repository.
	File  string
	Field edit.Field
}

// NewFieldSetter compiles the setter of a stage. The error names the artifact and the field
// of the setter that has to be changed.
func NewFieldSetter(s v1alpha1.Setter) (FieldSetter, error) {
	if path.IsAbs(s.File) || s.File == "" {
		return FieldSetter{}, fmt.Errorf("setter of artifact %s: file %q is not a path from that of the stage", s.Artifact, s.File)
	}
	field, err := fieldOf(s)
	if err != nil {
		return FieldSetter{}, fmt.Errorf("setter of artifact %s in %s: %w", s.Artifact, s.File, err)
	}
	return FieldSetter{Artifact: s.Artifact, File: s.File, Field: field}, nil
}

// NewSetters compiles all setters of a stage.
func NewSetters(specs []v1alpha1.Setter) ([]FieldSetter, error) {
	setters := make([]FieldSetter, 0, len(specs))
	for i, s := range specs {
		setter, err := NewFieldSetter(s)
		if err != nil {
			return nil, fmt.Errorf("setters[%d]: %w", i, err)
		}
		setters = append(setters, setter)
	}
	return setters, nil
}

// parts are the names of parts in a setter. What yaml, json and regex write without
// one is the tag.
var parts = map[string]edit.Part{"": edit.Tag, "reference": edit.Reference, "tag": edit.Tag, "name": edit.Name, "digest": edit.Digest}

func fieldOf(s v1alpha1.Setter) (edit.Field, error) {
	part, known := parts[s.Part]
	switch {
	case !known:
		return edit.Field{}, fmt.Errorf("part %q is none of reference, tag, name and digest", s.Part)
	case s.Part != "" && (s.KustomizeImage != "" || s.HelmValues != nil):
		return edit.Field{}, errors.New("part is for yaml, json and regex: kustomizeImage and helmValues know their parts")
	case s.YAML != "":
		return edit.YAMLField(s.YAML, part)
	case s.JSON != "":
		return edit.JSONField(s.JSON, part)
	case s.KustomizeImage != "":
		return edit.KustomizeImage(s.KustomizeImage)
	case s.HelmValues != nil:
		return edit.HelmValues(s.HelmValues.Repository, s.HelmValues.Tag, s.HelmValues.Digest)
	case s.Regex != "":
		return edit.RegexField(s.Regex, part)
	}
	return edit.Field{}, errors.New("one of yaml, json, kustomizeImage, helmValues and regex is required")
}

// fail is an error of the setter.
func (s FieldSetter) fail(file string, err error) error {
	return &SetterError{Artifact: s.Artifact, File: file, Err: err}
}

// find returns the path of the setter's file below root, if that is a file.
func (s FieldSetter) find(files Files, root string) (string, error) {
	name := path.Join(root, s.File)
	if name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) {
		return "", s.fail(name, errors.New("the file is outside of the repository"))
	}
	for _, part := range strings.Split(name, "/") {
		if name != "." && unsafe(part) {
			return "", s.fail(name, errors.New(string(UnsafePath)))
		}
	}
	at, err := files.Stat(name)
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotDir)
	if missing || err == nil && at.Mode == tree.Symlink {
		if link := linkError(files, &tree.Links{In: files, Names: maxNames}, name); link != nil {
			return "", s.fail(name, link)
		}
	}
	switch {
	case missing:
		return "", s.fail(name, err)
	case err != nil:
		return "", fmt.Errorf("looking at %s: %w", name, err)
	case !at.Mode.IsFile():
		return "", s.fail(name, errors.New("it is not a file"))
	}
	return name, nil
}

// setterFiles are the files of setters: as they are, or as they are going to be.
type setterFiles struct {
	index     *Index
	files     Files
	namespace string
	contents  map[string][]byte // by path: those that were edited
}

// visit calls back with the content of a setter's file, within the budget of the
// namespace.
func (f setterFiles) visit(ctx context.Context, name string, s FieldSetter, with func(content []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	content, edited := f.contents[name]
	if !edited {
		var err error
		if content, err = f.files.ReadFile(name); err != nil {
			return fmt.Errorf("reading file %s: %w", name, err)
		}
	}
	// The document with the field is held as it was and as it becomes, beside the one that is parsed.
	grant, err := f.index.memory.Acquire(ctx, f.namespace, 3*edit.FieldMemory(content))
	if err != nil {
		return fmt.Errorf("reading file %s: %w", name, err)
	}
	defer grant.Release()
	if err := with(content); err != nil {
		return s.fail(name, err)
	}
	return nil
}
