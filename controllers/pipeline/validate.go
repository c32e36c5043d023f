// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-git/go-git/v5/plumbing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
)

// refuse is an error that only another spec resolves.
func refuse(format string, args ...any) error {
	return reconcile.TerminalError(reconciler.WithReason(sluicev1.InvalidSpecReason, fmt.Errorf(format, args...)))
}

// target is a part of a stage, with what it takes over from the stage.
type target struct {
	stage, name, path string
	wave              int
	ready             []sluicev1.ReadyReference
	kubeConfig        *meta.KubeConfigReference // nil is this cluster
}

// targetsOf are the parts of a stage; one without a name if it has none.
func targetsOf(stage *sluicev1.Stage) []target {
	if len(stage.Targets) == 0 {
		return []target{{stage: stage.Name, path: stage.Write.Path, ready: stage.Ready}}
	}
	var targets []target
	for i := range stage.Targets {
		t := &stage.Targets[i]
		one := target{stage: stage.Name, name: t.Name, path: stage.PathOf(t), wave: int(t.Wave), ready: t.Ready, kubeConfig: t.KubeConfig}
		if len(one.ready) == 0 {
			one.ready = stage.Ready
		}
		targets = append(targets, one)
	}
	return targets
}

// validate refuses what the schema cannot, and what is not served.
func validate(p *sluicev1.Pipeline) error {
	if f := p.Spec.Forge; f != nil && f.URL != "" && f.SecretRef == nil {
		return refuse("spec.forge.secretRef: spec.forge.url needs a Secret of the pipeline: that of the GitRepository is sent to the host of the repository alone")
	}
	for i := range p.Spec.Stages {
		if err := validateStage(&p.Spec.Stages[i]); err != nil {
			return err
		}
		if err := validateSetters(p, &p.Spec.Stages[i]); err != nil {
			return err
		}
	}
	return acyclic(p)
}

func validateStage(stage *sluicev1.Stage) error {
	field := fmt.Sprintf("spec.stages[%s]", stage.Name)
	if _, err := promotion.ParseCalendar(stage.Windows); err != nil {
		return refuse("%s.windows: %w", field, err)
	}
	if err := validateWrite(stage, field); err != nil {
		return err
	}
	for i, v := range stage.Verify {
		if v.Metrics != nil {
			return refuse("%s.verify[%d].metrics: not served yet; use a canary or a job", field, i)
		}
		if v.Job == nil {
			continue
		}
		if _, err := parseJobTemplate(v.Job); err != nil {
			return refuse("%s.verify[%d].job.template: %w", field, i, err)
		}
	}
	return validateReferences(field, stage)
}

// validateSetters refuses a stage in Git that has no field for an artifact without markers.
func validateSetters(p *sluicev1.Pipeline, stage *sluicev1.Stage) error {
	for _, a := range p.Spec.Artifacts {
		set := slices.ContainsFunc(stage.Write.Setters, func(s sluicev1.Setter) bool { return s.Artifact == a.Name })
		if a.OCIRepositoryRef != nil && stage.Write.Tag == nil && !set {
			return refuse("spec.stages[%s].write.setters: markers are of ImagePolicies: artifact %s, of an OCIRepository, needs a setter", stage.Name, a.Name)
		}
	}
	return nil
}

// validateReferences refuses objects that can never be read.
func validateReferences(field string, stage *sluicev1.Stage) error {
	for i, v := range stage.Verify {
		if v.Canary != nil && unsupported(v.Canary.KubeConfig) {
			return refuse("%s.verify[%d].canary.kubeConfig: configMapRef is not supported; use secretRef", field, i)
		}
	}
	for _, t := range targetsOf(stage) {
		if unsupported(t.kubeConfig) {
			return refuse("%s.targets[%s].kubeConfig: configMapRef is not supported; use secretRef", field, t.name)
		}
		for i, ref := range t.ready {
			if unsupported(ref.KubeConfig) {
				return refuse("%s.ready[%d].kubeConfig: configMapRef is not supported; use secretRef", field, i)
			}
			if _, err := kindOf(ref); err != nil {
				return refuse("%s.ready[%d]: %w", field, i, err)
			}
		}
	}
	return nil
}

// unsupported reports whether a kubeConfig is to be made of an identity in a cloud.
func unsupported(ref *meta.KubeConfigReference) bool { return ref != nil && ref.SecretRef == nil }

// validateWrite refuses templates that cannot be parsed, and names of branches that are
// none.
func validateWrite(stage *sluicev1.Stage, field string) error {
	templates := map[string]string{}
	switch w := stage.Write; {
	case w.Tag != nil:
		return refuse("%s.write.tag: not served yet", field)
	case w.Commit != nil:
		templates["commit.messageTemplate"] = w.Commit.MessageTemplate
	case w.PullRequest != nil:
		templates["pullRequest.titleTemplate"], templates["pullRequest.bodyTemplate"] = w.PullRequest.TitleTemplate, w.PullRequest.BodyTemplate
		prefix := cmp.Or(w.PullRequest.BranchPrefix, defaultPrefix)
		if err := plumbing.NewBranchReferenceName(prefix + "a").Validate(); err != nil || strings.HasPrefix(prefix, statePrefix) {
			return refuse("%s.write.pullRequest.branchPrefix: %q does not start the name of a branch, or that of a state", field, prefix)
		}
	}
	for name, text := range templates {
		if _, err := language(field + ".write." + name).Parse(text); err != nil {
			return refuse("%w", err)
		}
	}
	return nil
}

// acyclic refuses stages that come after themselves.
func acyclic(p *sluicev1.Pipeline) error {
	var visit func(name string, path []string) error
	visit = func(name string, path []string) error {
		if slices.Contains(path, name) {
			return refuse("spec.stages[%s].after: the stage comes after itself", name)
		}
		stage := p.Spec.Stage(name)
		if stage == nil || stage.After == nil {
			return nil
		}
		for _, before := range stage.After.Stages {
			if err := visit(before, append(slices.Clone(path), name)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, stage := range p.Spec.Stages {
		if err := visit(stage.Name, nil); err != nil {
			return err
		}
	}
	return nil
}
