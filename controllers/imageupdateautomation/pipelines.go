// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

// watchPipelines brings automations back when the stages of a pipeline beside them write
// other markers.
func (r *Reconciler) watchPipelines() reconciler.OptionalWatch {
	return reconciler.OptionalWatch{
		Kind: sluicev1.GroupVersion.WithKind(sluicev1.PipelineKind), Object: &sluicev1.Pipeline{},
		Handler: handler.EnqueueRequestsFromMapFunc(r.automationsOfPipeline), Predicates: []predicate.Predicate{stagesChanged()},
	}
}

// automationsOfPipeline are those of its namespace, whose policies it bundles.
func (r *Reconciler) automationsOfPipeline(ctx context.Context, pipeline client.Object) []reconcile.Request {
	return reconciler.Requests(ctx, r.Client, &imagev1.ImageUpdateAutomationList{}, reconciler.Any[*imagev1.ImageUpdateAutomation],
		client.InNamespace(pipeline.GetNamespace()))
}

// automationsBeside are the automations beside the pipelines on a GitRepository, which have
// sources of their own: its URL and its branch say whose markers the stages write.
func (r *Reconciler) automationsBeside(ctx context.Context, repo client.Object) []reconcile.Request {
	if !r.pipelines.Served() {
		return nil
	}
	key := client.ObjectKeyFromObject(repo)
	on := func(p *sluicev1.Pipeline) bool { return slices.Contains(p.Sources(), key) }
	beside := map[string]bool{}
	for _, pipeline := range reconciler.Requests(ctx, r.Client, &sluicev1.PipelineList{}, on) {
		beside[pipeline.Namespace] = true
	}
	if len(beside) == 0 {
		return nil
	}
	return reconciler.Requests(ctx, r.Client, &imagev1.ImageUpdateAutomationList{},
		func(a *imagev1.ImageUpdateAutomation) bool { return beside[a.Namespace] && sourceKey(a) != key })
}

// stagesChanged passes updates that change which markers a pipeline writes.
func stagesChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: reconciler.Updates(func(before, after *sluicev1.Pipeline) bool {
		return !slices.Equal(writes(before), writes(after))
	})}
}

// writes stands for what the stages of a pipeline write, and where.
func writes(p *sluicev1.Pipeline) []string {
	var all []string
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef != nil {
			all = append(all, a.ImagePolicyRef.Name)
		}
	}
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		if ref := p.Spec.SourceOf(stage); ref != nil {
			all = append(all, ref.String())
		}
		all = append(all, fmt.Sprintf("%q %q %t %q", stage.Name, stage.Write.Branch, stage.Write.Tag != nil, stage.Paths()))
	}
	return all
}

// leftToPipelineRemark is what the Ready message says of markers that stages of pipelines write.
func leftToPipelineRemark(report writeback.Report) string {
	lines := report.SkippedFor(writeback.PipelineWrites)
	if len(lines) == 0 {
		return ""
	}
	var owners []string
	for _, line := range lines {
		if !slices.Contains(owners, line.Owner) {
			owners = append(owners, line.Owner)
		}
	}
	subject := "markers are"
	if len(lines) == 1 {
		subject = "marker is"
	}
	text := fmt.Sprintf("; %d %s left to %s", len(lines), subject, strings.Join(owners[:min(len(owners), maxNamed)], ", "))
	if more := len(owners) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// leftToPipelineEvent tells of markers that stages of pipelines write. Nothing is wrong with them.
func leftToPipelineEvent(lines []writeback.Line) reconciler.Event {
	told := markerEvent(imagev1.LeftToPipelineReason, lines, "")
	told.Type = corev1.EventTypeNormal
	return told
}
