// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-git/go-git/v5/plumbing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// refuse is an error that only another spec resolves.
func refuse(format string, args ...any) error {
	return reconcile.TerminalError(reconciler.WithReason(sluicev1.InvalidSpecReason, fmt.Errorf(format, args...)))
}

// target is a part of a stage, with what it takes over from the stage.
type target struct {
	stage, name, path string
	wave              int
	ownPath           bool // that of spec.stages[].targets[], and not of the stage
	ownReady          bool
	ready             []sluicev1.ReadyReference
	verify            []sluicev1.Verification
	kubeConfig        *meta.KubeConfigReference // nil is this cluster
	tag               *sluicev1.WriteTag        // nil in Git
}

// pathField is the field that has the path of the target.
func (t target) pathField() string {
	if t.ownPath {
		return fmt.Sprintf("spec.stages[%s].targets[%s].path", t.stage, t.name)
	}
	return fmt.Sprintf("spec.stages[%s].write.path", t.stage)
}

// readyField is the field that has the i-th object of ready.
func (t target) readyField(i int) string {
	if t.ownReady {
		return fmt.Sprintf("spec.stages[%s].targets[%s].ready[%d]", t.stage, t.name, i)
	}
	return fmt.Sprintf("spec.stages[%s].ready[%d]", t.stage, i)
}

// kubeConfigField is the field that says which cluster the target is in.
func (t target) kubeConfigField() string {
	return fmt.Sprintf("spec.stages[%s].targets[%s].kubeConfig", t.stage, t.name)
}

// targetsOf are the parts of a stage; one without a name if it has none.
func targetsOf(stage *sluicev1.Stage) []target {
	if len(stage.Targets) == 0 {
		return []target{{stage: stage.Name, path: stage.Write.Path, ready: stage.Ready, verify: stage.Verify, tag: stage.Write.Tag}}
	}
	var targets []target
	for i := range stage.Targets {
		t := &stage.Targets[i]
		one := target{
			stage: stage.Name, name: t.Name, path: stage.PathOf(t), ownPath: t.Path != "",
			wave: int(t.Wave), ready: t.Ready, ownReady: len(t.Ready) > 0, verify: stage.Verify, kubeConfig: t.KubeConfig,
		}
		if !one.ownReady {
			one.ready = stage.Ready
		}
		if one.tag = stage.Write.Tag; one.tag != nil && t.Tag != "" {
			one.tag = one.tag.DeepCopy()
			one.tag.Tag = t.Tag
		}
		targets = append(targets, one)
	}
	return targets
}

// validate refuses what the schema cannot, and what is not served.
func validate(p *sluicev1.Pipeline) error {
	if f := p.Spec.Forge; f != nil {
		c := forge.Connection{Field: "spec.forge", Kind: sluicev1.PipelineKind, URL: f.URL, SecretRef: f.SecretRef}
		if err := c.Validate(); err != nil {
			return err
		}
	}
	for i := range p.Spec.Stages {
		if err := validateStage(&p.Spec.Stages[i]); err != nil {
			return err
		}
		if err := validateSetters(p, &p.Spec.Stages[i]); err != nil {
			return err
		}
	}
	if err := validateTags(p); err != nil {
		return err
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
		if err := validateVerification(fmt.Sprintf("%s.verify[%d]", field, i), stage, v); err != nil {
			return err
		}
	}
	return validateReferences(stage)
}

// validateSetters refuses a stage in Git that has no field for an artifact without markers.
func validateSetters(p *sluicev1.Pipeline, stage *sluicev1.Stage) error {
	for _, a := range p.Spec.Artifacts {
		set := slices.ContainsFunc(stage.Write.Setters, func(s sluicev1.Setter) bool { return s.Artifact == a.Name })
		if a.OCIRepositoryRef != nil && stage.Write.Tag == nil && !set {
			return refuse("spec.stages[%s].write.setters: markers are of ImagePolicies: artifact %s, of an OCIRepository, needs a setter",
				stage.Name, a.Name)
		}
	}
	return nil
}

func validateVerification(field string, stage *sluicev1.Stage, v sluicev1.Verification) error {
	switch {
	case v.Metrics != nil:
		return validateMetrics(field+".metrics", v.Metrics, stage.VerifyTimeout.Duration)
	case v.Job != nil:
		if _, err := parseJobTemplate(v.Job); err != nil {
			return refuse("%s.job.template: %w", field, err)
		}
	}
	return nil
}

// validateMetrics refuses what cannot be measured, or not in time.
func validateMetrics(field string, v *sluicev1.MetricsVerification, timeout time.Duration) error {
	if v.Interval.Duration < time.Second || v.For.Duration <= 0 {
		return refuse("%s: interval has to be at least 1s, and for more than none", field)
	}
	for i, m := range v.Checks {
		if err := validateCheck(fmt.Sprintf("%s.checks[%d]", field, i), m); err != nil {
			return err
		}
	}
	if takes := promotion.MetricsTime(v, longestWindow(v)); timeout > 0 && takes >= timeout {
		return refuse("%s: it takes at least %s to look at them, and the verifyTimeout of the stage is %s: make that longer, or `for` shorter",
			field, shorten.Duration(takes), shorten.Duration(timeout))
	}
	return nil
}

func validateCheck(field string, m flaggerv1.CanaryMetric) error {
	if m.Builtin() {
		return refuse("%s.name: %s compares a canary, which a pipeline has none of; name it otherwise, and give it a templateRef or a query",
			field, m.Name)
	}
	if (m.Query == "") == (m.TemplateRef == nil) {
		return refuse("%s: exactly one of templateRef and query is required", field)
	}
	if ref := m.TemplateRef; ref != nil && ref.Kind != "" && ref.Kind != flaggerv1.MetricTemplateKind {
		return refuse("%s.templateRef.kind: %q is no %s", field, ref.Kind, flaggerv1.MetricTemplateKind)
	}
	if within := m.ThresholdRange; within == nil && m.Threshold == 0 || within != nil && within.Min == nil && within.Max == nil {
		return refuse("%s.thresholdRange: min or max is required, or any value is good", field)
	}
	if window, err := windowOf(m); err != nil || window <= 0 {
		return refuse("%s.interval: %q is not a duration such as 30s or 1m", field, m.Interval)
	}
	return nil
}

// validateReferences refuses objects that can never be read.
func validateReferences(stage *sluicev1.Stage) error {
	for _, t := range targetsOf(stage) {
		for i, ref := range t.ready {
			if _, err := kindOf(ref); err != nil {
				return refuse("%s: %w", t.readyField(i), err)
			}
		}
	}
	return nil
}

// validateWrite refuses templates that cannot be parsed, and names of branches that are
// none.
func validateWrite(stage *sluicev1.Stage, field string) error {
	switch w := stage.Write; {
	case w.Commit != nil:
		if _, err := (forge.Template{Field: messageField(stage), Text: w.Commit.MessageTemplate, Data: message{}}).Parse(); err != nil {
			return err
		}
	case w.PullRequest != nil:
		if err := templatesOf(stage).Parse(); err != nil {
			return err
		}
		prefix := cmp.Or(w.PullRequest.BranchPrefix, defaultPrefix)
		if err := plumbing.NewBranchReferenceName(prefix + "a").Validate(); err != nil || isOfStates(prefix) {
			return refuse("%s.write.pullRequest.branchPrefix: %q does not start the name of a branch, or that of a state", field, prefix)
		}
	}
	for _, t := range targetsOf(stage) {
		if _, err := tree.Split(t.path); err != nil {
			return refuse("%s: %q leads out of the repository: name a folder below its root", t.pathField(), t.path)
		}
	}
	return nil
}

// isOfStates reports whether a prefix starts names of branches that have states.
func isOfStates(prefix string) bool {
	return strings.HasPrefix(prefix, defaultPrefix+stateFolder) || strings.HasSuffix(prefix, "/"+stateFolder)
}

// acyclic refuses stages that come after themselves.
func acyclic(p *sluicev1.Pipeline) error {
	var visit func(name string, path []string) error
	visit = func(name string, path []string) error {
		if slices.Contains(path, name) {
			return refuse("spec.stages[%s].after.stages: the stage comes after itself: %s: leave one of them out",
				name, strings.Join(append(path[slices.Index(path, name):], name), " after "))
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
