// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"slices"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// validateTags refuses stages that write tags and cannot, and two that write one tag.
func validateTags(p *sluicev1.Pipeline) error {
	if p.Spec.SourceRef == nil {
		if p.Spec.State == sluicev1.StateBranch {
			return refuse("spec.state: Branch needs a spec.sourceRef, whose repository has the branch")
		}
		for _, stage := range p.Spec.Stages {
			if stage.Write.Tag == nil {
				return refuse("spec.sourceRef is required: stage %s is in Git", stage.Name)
			}
		}
	}
	owners := map[string]string{}
	for i := range p.Spec.Stages {
		if err := validateTag(p, &p.Spec.Stages[i], owners); err != nil {
			return err
		}
	}
	return nil
}

func validateTag(p *sluicev1.Pipeline, stage *sluicev1.Stage, owners map[string]string) error {
	field := fmt.Sprintf("spec.stages[%s]", stage.Name)
	w := stage.Write.Tag
	for _, t := range stage.Targets {
		switch {
		case w == nil && t.Tag != "":
			return refuse("%s.targets[%s].tag: the stage writes no tags: leave it out, or set write.tag", field, t.Name)
		case w != nil && t.Path != "":
			return refuse("%s.targets[%s].path: the stage writes tags: leave it out", field, t.Name)
		}
	}
	if w == nil {
		return nil
	}
	switch is := func(a sluicev1.Artifact) bool { return a.Name == w.Artifact }; {
	case w.Artifact == "" && len(p.Spec.Artifacts) > 1:
		return refuse("%s.write.tag.artifact is required: the pipeline has several", field)
	case w.Artifact != "" && !slices.ContainsFunc(p.Spec.Artifacts, is):
		return refuse("%s.write.tag.artifact: there is no artifact %s in spec.artifacts", field, w.Artifact)
	}
	for _, t := range targetsOf(stage) {
		tag, err := tagName(t.tag)
		if err != nil {
			return refuse("%s.write.tag.%w", field, err)
		}
		if owner, taken := owners[tag.Name()]; taken {
			return refuse("%s.write.tag: %s is the tag of %s already", field, tag, owner)
		}
		owners[tag.Name()] = fmt.Sprintf("stage %s", stage.Name)
		if t.name != "" {
			owners[tag.Name()] = fmt.Sprintf("target %s of stage %s", t.name, stage.Name)
		}
	}
	return validateCanaries(p, stage)
}

// validateCanaries refuses Canaries that can never be seen to have a version: what they
// have is told by the images of their target, and no artifact is an image.
func validateCanaries(p *sluicev1.Pipeline, stage *sluicev1.Stage) error {
	if slices.ContainsFunc(p.Spec.Artifacts, func(a sluicev1.Artifact) bool { return a.ImagePolicyRef != nil }) {
		return nil
	}
	blind := func(field, name string) error {
		return refuse("spec.stages[%s].%s: which version Canary %s has is told by the image that its target runs, and no artifact is an image: "+
			"add the image to spec.artifacts with its imagePolicyRef, or verify by a job or by metrics", stage.Name, field, name)
	}
	for i, v := range stage.Verify {
		if v.Canary != nil {
			return blind(fmt.Sprintf("verify[%d].canary", i), v.Canary.Name)
		}
	}
	for _, t := range targetsOf(stage) {
		for i, ref := range t.ready {
			if ref.Kind == flaggerv1.CanaryKind {
				return blind(fmt.Sprintf("ready[%d]", i), ref.Name)
			}
		}
	}
	return nil
}
