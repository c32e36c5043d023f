// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// windowOf is the window that a check measures.
func windowOf(m flaggerv1.CanaryMetric) (time.Duration, error) {
	return time.ParseDuration(cmp.Or(m.Interval, flaggerv1.DefaultMetricInterval))
}

// longestWindow is that of all checks; they are valid.
func longestWindow(v *sluicev1.MetricsVerification) time.Duration {
	longest := time.Duration(0)
	for _, m := range v.Checks {
		window, _ := windowOf(m)
		longest = max(longest, window)
	}
	return longest
}

// supportsMetrics refuses templates of other namespaces where those are refused, and
// queries of the pipeline that cannot be filled in.
func (r *Reconciler) supportsMetrics(ctx context.Context, p *sluicev1.Pipeline) error {
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		for at, v := range stage.Verify {
			if v.Metrics == nil {
				continue
			}
			if err := r.supportsChecks(ctx, p, verificationTarget{stage: stage, index: at}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) supportsChecks(ctx context.Context, p *sluicev1.Pipeline, v verificationTarget) error {
	field := fmt.Sprintf("spec.stages[%s].verify[%d]", v.stage.Name, v.index)
	if r.Checker == nil {
		return refuse("%s.metrics: this process measures no metrics", field)
	}
	asked := subjectOf(p, v)
	asked.Spec.Analysis = &flaggerv1.CanaryAnalysis{}
	for _, m := range checksOf(p, v) {
		if ref := m.TemplateRef; ref == nil {
			asked.Spec.Analysis.Metrics = append(asked.Spec.Analysis.Metrics, m)
		} else if r.Access.NoCrossNamespaceRefs && ref.Namespace != "" && ref.Namespace != p.Namespace {
			return refuse("%s.%s[%s].templateRef: can't access MetricTemplate '%s/%s', cross-namespace references have been blocked",
				field, MetricsField, m.Name, ref.Namespace, ref.Name)
		}
	}
	if err := r.Checker.Supports(ctx, asked); err != nil {
		return refuse("%s.%w", field, withoutTerminal(err))
	}
	return nil
}

// templates reads the MetricTemplates that the checks of a verification refer to, until one of
// them does not exist. A pipeline whose template is missing says so before a bundle lands, and
// is woken when there is one.
func (os *objects) templates(ctx context.Context, v verificationTarget) (cluster.Answer, error) {
	for i, m := range v.stage.Verify[v.index].Metrics.Checks {
		if m.TemplateRef == nil {
			continue
		}
		o := object{
			Object: cluster.Object{
				GroupVersionKind: flaggerv1.GroupVersion.WithKind(flaggerv1.MetricTemplateKind),
				NamespacedName:   keyOf(os.pipeline, m.TemplateRef.Namespace, m.TemplateRef.Name),
			},
			field: fmt.Sprintf("spec.stages[%s].verify[%d].%s[%d].templateRef", v.stage.Name, v.index, MetricsField, i),
		}
		var template flaggerv1.MetricTemplate
		if answer, err := os.read(ctx, o, &template); err != nil || answer.Missing {
			return answer, err
		}
	}
	return cluster.Answer{}, nil
}

// withoutTerminal is the error that another spec resolves.
func withoutTerminal(err error) error {
	if errors.Is(err, reconcile.TerminalError(nil)) {
		return cmp.Or(errors.Unwrap(err), err)
	}
	return err
}

// subjectOf is what queries are about: {{ name }} and {{ namespace }} are those of the
// pipeline, {{ target }} is the target of the stage, or the stage if it has none.
func subjectOf(p *sluicev1.Pipeline, v verificationTarget) *flaggerv1.Canary {
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	c.Spec.TargetRef.Name = cmp.Or(v.target, v.stage.Name)
	return c
}

// checksOf are those of a verification. Queries may ask for what Jobs are told; variables of
// the same name in the spec win.
func checksOf(p *sluicev1.Pipeline, v verificationTarget) []flaggerv1.CanaryMetric {
	var checks []flaggerv1.CanaryMetric
	for _, m := range v.stage.Verify[v.index].Metrics.Checks {
		variables := map[string]string{}
		for _, a := range p.Spec.Artifacts { // whatever bundle there is
			variables[versionVariable(a.Name)] = ""
		}
		for _, env := range jobEnv(p, v) {
			variables[env.Name] = env.Value
		}
		maps.Copy(variables, m.TemplateVariables)
		m.TemplateVariables = variables
		checks = append(checks, m)
	}
	return checks
}
