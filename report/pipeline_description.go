// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// PipelineDescription is a Pipeline with how it promotes, what became of each bundle in
// each stage, its conditions and its last events.
type PipelineDescription struct {
	Pipeline
	// Properties say in plain words how the Pipeline promotes.
	Properties []Property `json:"properties"`
	// Matrix is what became of each bundle in each stage, the newest bundle first.
	Matrix []BundleRow `json:"matrix"`
	// StateCommit is the commit of the state branch that the status was made from.
	StateCommit string `json:"stateCommit,omitempty"`
	// Conditions are the conditions of the status.
	Conditions []Condition `json:"conditions"`
	// Events are the last ones, the oldest first.
	Events []Event `json:"events"`
}

// PipelineTransition is a stage at the time at which it was seen to have changed.
type PipelineTransition struct {
	// Time is when the change was seen.
	Time metav1.Time `json:"time"`
	// Namespace of the Pipeline.
	Namespace string `json:"namespace"`
	// Pipeline is its name.
	Pipeline string `json:"pipeline"`
	PipelineStage
}

// PipelineLanding is a bundle that a stage of a Pipeline got.
type PipelineLanding struct {
	// Stage is its name.
	Stage string `json:"stage"`
	sluicev1.Landing
}

// DescribePipeline reads a Pipeline's spec and status.
func DescribePipeline(p *sluicev1.Pipeline, events []Event) PipelineDescription {
	found := PipelineDescription{
		Pipeline: OfPipeline(p), Properties: HowItPromotes(p), Matrix: Matrix(p), StateCommit: p.Status.StateCommit,
		Conditions: []Condition{}, Events: append([]Event{}, events...),
	}
	for _, is := range p.Status.Conditions {
		found.Conditions = append(found.Conditions, Condition{
			Type: is.Type, Status: string(is.Status), Reason: is.Reason, Message: is.Message, Since: is.LastTransitionTime.Time,
		})
	}
	return found
}

// HowItPromotes says in plain words how a Pipeline promotes.
func HowItPromotes(p *sluicev1.Pipeline) []Property {
	found := []Property{}
	add := func(name, format string, args ...any) {
		found = append(found, Property{Name: name, Text: fmt.Sprintf(format, args...)})
	}
	for _, a := range p.Spec.Artifacts {
		switch {
		case a.ImagePolicyRef != nil:
			add("artifact", "%s, as ImagePolicy %s chooses", a.Name, a.ImagePolicyRef.Name)
		case a.OCIRepositoryRef != nil:
			add("artifact", "%s, as OCIRepository %s has it", a.Name, a.OCIRepositoryRef.Name)
		}
	}
	if t := p.Spec.Together; t != nil && t.SameTag {
		add("together", "only versions of the same tag")
	} else if t != nil && t.WaitFor != nil {
		add("together", "a new version waits %s for the others", shorten.Duration(t.WaitFor.Duration))
	}
	if ref := p.Spec.SourceRef; ref != nil {
		add("repository", "GitRepository %s/%s", cmp.Or(ref.Namespace, p.Namespace), ref.Name)
	}
	for i := range p.Spec.Stages {
		add("stage", "%s", stageSentence(&p.Spec.Stages[i]))
	}
	return found
}

// stageSentence says how a stage is written and when.
func stageSentence(s *sluicev1.Stage) string {
	parts := []string{s.Name + ": " + writeSentence(s.Write)}
	if a := s.After; a != nil {
		joint := " and "
		if a.Policy == sluicev1.AfterAny {
			joint = " or "
		}
		text := "after " + strings.Join(a.Stages, joint)
		if a.Soak != nil {
			text += fmt.Sprintf(" and a soak of %s", shorten.Duration(a.Soak.Duration))
		}
		parts = append(parts, text)
	}
	if n := approvalsNeeded(s); n > 0 {
		parts = append(parts, fmt.Sprintf("with %s", count(n, "approval")))
	}
	if len(s.Windows) > 0 {
		parts = append(parts, "in "+count(len(s.Windows), "window"))
	}
	if len(s.Targets) > 0 {
		parts = append(parts, "to "+count(len(s.Targets), "target"))
	}
	if proofs := proofsOf(s); len(proofs) > 0 {
		parts = append(parts, "verified by "+strings.Join(proofs, ", "))
	}
	return strings.Join(parts, "; ")
}

// approvalsNeeded is how many people have to agree.
func approvalsNeeded(s *sluicev1.Stage) int {
	if s.Approval == nil || s.Approval.Required != nil && !*s.Approval.Required {
		return 0
	}
	return int(max(s.Approval.MinApprovals, 1))
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// HowItIsWritten says how a bundle is written to a stage.
func HowItIsWritten(p *sluicev1.Pipeline, stage string) string {
	spec := p.Spec.Stage(stage)
	if spec == nil {
		return "nothing"
	}
	return writeSentence(spec.Write)
}

// writeSentence says how a bundle is written.
func writeSentence(w sluicev1.Write) string {
	if w.Tag != nil {
		return "the tag " + w.Tag.Repository + ":" + w.Tag.Tag
	}
	text := "a commit"
	if w.PullRequest != nil {
		text = "a pull request"
	}
	text += " below " + cmp.Or(w.Path, "the root")
	if w.Branch != "" {
		text += " of branch " + w.Branch
	}
	if ref := w.SourceRef; ref != nil {
		text += " in GitRepository " + strings.TrimPrefix(ref.Namespace+"/"+ref.Name, "/")
	}
	return text
}

// proofsOf are the objects that have to be Ready, and the verifications.
func proofsOf(s *sluicev1.Stage) []string {
	var found []string
	for _, r := range s.Ready {
		found = append(found, r.Kind+" "+r.Name)
	}
	for _, v := range s.Verify {
		switch {
		case v.Canary != nil:
			found = append(found, "Canary "+v.Canary.Name)
		case v.Job != nil:
			found = append(found, "a Job")
		case v.Metrics != nil:
			found = append(found, count(len(v.Metrics.Checks), "metric"))
		}
	}
	return found
}

// Landings are what a stage of a Pipeline got, or all of them if stage is empty, the
// newest first.
func Landings(p *sluicev1.Pipeline, stage string) List[PipelineLanding] {
	list := List[PipelineLanding]{Items: []PipelineLanding{}}
	for _, spec := range p.Spec.Stages {
		if stage != "" && stage != spec.Name {
			continue
		}
		for _, l := range statusOf(p, spec.Name).Landings {
			list.Items = append(list.Items, PipelineLanding{Stage: spec.Name, Landing: l})
		}
	}
	slices.SortStableFunc(list.Items, func(a, b PipelineLanding) int { return b.At.Compare(a.At.Time) })
	return list
}
