// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// versionReader reads which versions of the artifacts of a pipeline files have.
type versionReader struct {
	artifacts []sluicev1.Artifact
	// fields of each stage that hold versions.
	fields map[string]writeback.ArtifactFields
	index  *writeback.Index
	// revision is the branch and the commit of the files, for what is said of them.
	revision string
}

// read is what the files of a target say. What is wrong with them is a problem of the stage
// and not of the pipeline.
func (c versionReader) read(ctx context.Context, files writeback.Files, t target) (promotion.Content, error) {
	images, err := c.index.Versions(ctx, files, t.path, c.fields[t.stage])
	if problem := contentProblem(t, err); problem != "" {
		if c.revision != "" {
			problem += " (at " + c.revision + ")"
		}
		return promotion.Content{Problem: problem}, nil
	}
	if err != nil {
		return promotion.Content{}, reconciler.WithReason(sluicev1.GitOperationFailedReason, err)
	}
	var found promotion.Content
	for _, a := range c.artifacts {
		if image, ok := images[a.Name]; ok {
			found.Versions = append(found.Versions, sluicev1.Version{Artifact: a.Name, Image: image.Name, Tag: image.Tag, Digest: image.Digest})
		}
	}
	return found, nil
}

// contentProblem says what is wrong with the files of a target, in which field that shows, and
// what helps; empty if it is something else than the files.
func contentProblem(t target, err error) string {
	setters := fmt.Sprintf("spec.stages[%s].write.setters", t.stage)
	switch {
	case errors.Is(err, writeback.ErrSetter):
		return fmt.Sprintf("%s: %v: correct the setter, or the file", setters, err)
	case errors.Is(err, writeback.ErrNoFields):
		return fmt.Sprintf("%s: %v: give the field a marker, or name it in write.setters", t.pathField(), err)
	case errors.Is(err, writeback.ErrDisagree):
		return fmt.Sprintf("%s: %v: give them one version by a commit", t.pathField(), err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("%s: %v: create it, or correct the path", t.pathField(), err)
	}
	return ""
}

// fieldsOf are the fields of each stage that hold the versions of the artifacts.
func fieldsOf(p *sluicev1.Pipeline) (map[string]writeback.ArtifactFields, error) {
	policies := map[string]string{}
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef != nil {
			policies[a.Name] = a.ImagePolicyRef.Name
		}
	}
	fields := map[string]writeback.ArtifactFields{}
	for _, stage := range p.Spec.Stages {
		setters, err := writeback.NewSetters(stage.Write.Setters)
		if err != nil {
			return nil, refuse("spec.stages[%s].write.%w", stage.Name, err)
		}
		for i, s := range setters {
			if !slices.ContainsFunc(p.Spec.Artifacts, func(a sluicev1.Artifact) bool { return a.Name == s.Artifact }) {
				return nil, refuse("spec.stages[%s].write.setters[%d].artifact: there is no artifact %s in spec.artifacts", stage.Name, i, s.Artifact)
			}
		}
		fields[stage.Name] = writeback.ArtifactFields{Namespace: p.Namespace, Policies: policies, Setters: setters}
	}
	return fields, nil
}

// imagesOf are the versions of a bundle, by artifact.
func imagesOf(b sluicev1.Bundle) map[string]edit.Image {
	images := map[string]edit.Image{}
	for _, v := range b.Versions {
		images[v.Artifact] = edit.Image{Name: v.Image, Tag: v.Tag, Digest: v.Digest}
	}
	return images
}
