// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/promotion"
)

// MetricsField is where the checks of a verification are, below the verification. It is
// what errors of [Reconciler.Checker] begin with.
const MetricsField = "metrics.checks"

// metricsAtOnce is how many looks at metrics of the pipelines of one namespace go on at
// once, and allLooks how many there may be, with those that wait.
const (
	metricsAtOnce = 10
	allLooks      = 1000
)

// metricsKey is one verification by metrics of one target.
type metricsKey struct {
	pipeline      types.NamespacedName
	stage, target string
	index         int
}

// measured are the looks of one landing.
type measured struct {
	promotion.Looks
	of string // landing and checks
}

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
func (r *run) supportsMetrics(ctx context.Context) error {
	for i := range r.pipeline.Spec.Stages {
		stage := &r.pipeline.Spec.Stages[i]
		for at, v := range stage.Verify {
			if v.Metrics == nil {
				continue
			}
			field := fmt.Sprintf("spec.stages[%s].verify[%d]", stage.Name, at)
			if r.Checker == nil {
				return refuse("%s.metrics: this process measures no metrics", field)
			}
			asked := r.subject(verifying{stage: stage, index: at})
			asked.Spec.Analysis = &flaggerv1.CanaryAnalysis{}
			for _, m := range r.checks(verifying{stage: stage, index: at}) {
				if ref := m.TemplateRef; ref == nil {
					asked.Spec.Analysis.Metrics = append(asked.Spec.Analysis.Metrics, m)
				} else if r.Access.NoCrossNamespaceRefs && ref.Namespace != "" && ref.Namespace != r.pipeline.Namespace {
					return refuse("%s.%s[%s].templateRef: can't access MetricTemplate '%s/%s', cross-namespace references have been blocked",
						field, MetricsField, m.Name, ref.Namespace, ref.Name)
				}
			}
			if err := r.Checker.Supports(ctx, asked); err != nil {
				return refuse("%s.%w", field, withoutTerminal(err))
			}
		}
	}
	return nil
}

// withoutTerminal is the error that another spec resolves.
func withoutTerminal(err error) error {
	if errors.Is(err, reconcile.TerminalError(nil)) {
		return cmp.Or(errors.Unwrap(err), err)
	}
	return err
}

// subject is what queries are about: {{ name }} and {{ namespace }} are those of the
// pipeline, {{ target }} is the target of the stage, or the stage if it has none.
func (r *run) subject(v verifying) *flaggerv1.Canary {
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: r.pipeline.Namespace, Name: r.pipeline.Name}}
	c.Spec.TargetRef.Name = cmp.Or(v.target, v.stage.Name)
	return c
}

// checks are those of a verification. Queries may ask for what Jobs are told; variables of
// the same name in the spec win.
func (r *run) checks(v verifying) []flaggerv1.CanaryMetric {
	var checks []flaggerv1.CanaryMetric
	for _, m := range v.stage.Verify[v.index].Metrics.Checks {
		variables := map[string]string{}
		for _, a := range r.pipeline.Spec.Artifacts { // whatever bundle there is
			variables[versionVariable(a.Name)] = ""
		}
		for _, env := range r.jobEnv(v) {
			variables[env.Name] = env.Value
		}
		maps.Copy(variables, m.TemplateVariables)
		m.TemplateVariables = variables
		checks = append(checks, m)
	}
	return checks
}

// metricsVerification says what came of the looks at metrics, and looks again if it is
// time to.
func (r *run) metricsVerification(ctx context.Context, v verifying, is promotion.Readiness) (promotion.Verification, string, error) {
	spec := v.stage.Verify[v.index].Metrics
	key := metricsKey{client.ObjectKeyFromObject(r.pipeline), v.stage.Name, v.target, v.index}
	looks := r.looksOf(key, v)
	now := r.Clock.Now()
	if is != promotion.ReadinessReady {
		return promotion.VerificationPending, "its metrics are looked at once it is Ready", nil
	}
	if looks.Begun.IsZero() {
		looks.Begun = now
	}
	due := looks.Due(spec, longestWindow(spec))
	if state, evidence := looks.Verification(spec); state == promotion.VerificationPassed || state == promotion.VerificationFailed {
		return state, evidence, nil
	}
	if !now.Before(due) {
		ask := background.Request[metricsKey]{Key: key, Input: fmt.Sprint(looks.of, due.UnixNano()), Namespace: key.pipeline.Namespace, At: now}
		subject, checks := r.subject(v), r.checks(v)
		// A run ends before its look does.
		look, err := r.measuring.Run(context.WithoutCancel(ctx), ask, func(ctx context.Context) (promotion.Look, error) {
			return r.measure(ctx, subject, checks), nil
		})
		switch {
		case errors.Is(err, background.ErrPending):
			due = now.Add(spec.Interval.Duration) // at the latest: its end wakes the pipeline
		case err != nil:
			look = promotion.Look{State: promotion.VerificationUnknown, Evidence: err.Error()}
			fallthrough
		default:
			looks.Looks = looks.With(look, now)
			due = looks.Due(spec, longestWindow(spec))
		}
	}
	state, evidence := looks.Verification(spec)
	if state == promotion.VerificationPending || state == promotion.VerificationUnknown {
		r.again.in(due.Sub(now))
	}
	if state == promotion.VerificationPending && r.hasTimeLeft(v, looks.Looks, now) {
		state = promotion.VerificationUnknown // it is held beyond verifyTimeout
	}
	return state, evidence, nil
}

// looksOf are those of the verification of a landing, begun anew for another one.
func (r *run) looksOf(key metricsKey, v verifying) *measured {
	spec, _ := json.Marshal(v.stage.Verify[v.index].Metrics)
	of := fmt.Sprintf("%s %d %s", v.bundle.ID, v.landed.UnixNano(), spec)
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if r.memory.looks == nil {
		r.memory.looks = map[metricsKey]*measured{}
	}
	r.looksAt[key] = true
	looks := r.memory.looks[key]
	if looks == nil || looks.of != of {
		r.measuring.Forget(key)
		looks = &measured{of: of}
		r.memory.looks[key] = looks
	}
	return looks
}

// forgetLooks drops those that nobody needs: there is a verdict, or the spec has no such
// verification.
func (r *Reconciler) forgetLooks(m *memory, needed map[metricsKey]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.looks {
		if !needed[key] {
			r.measuring.Forget(key)
			delete(m.looks, key)
		}
	}
}

// hasTimeLeft reports whether metrics have more time than the verifyTimeout of the stage
// because time was lost that is no fault of a bundle: nobody could tell, or a restart lost
// the looks of an earlier process, which begin anew.
func (r *run) hasTimeLeft(v verifying, looks promotion.Looks, now time.Time) bool {
	since, lost := v.since, looks.Lost
	if since.IsZero() {
		return false // its time has not begun
	}
	if r.memory.since.After(since) {
		lost += looks.Begun.Sub(since)
	}
	return lost > 0 && now.Before(since.Add(v.stage.VerifyTimeout.Duration+lost))
}

// measure looks at all checks once. One that is bad is told before one that cannot be
// measured: it is bad whatever the other is.
func (r *Reconciler) measure(ctx context.Context, subject *flaggerv1.Canary, checks []flaggerv1.CanaryMetric) promotion.Look {
	looks := make([]promotion.Look, len(checks))
	var all sync.WaitGroup
	for i, m := range checks {
		all.Go(func() {
			err := background.Try(ctx, func() error { looks[i] = r.measureOne(ctx, subject, m); return nil })
			if err != nil {
				looks[i] = promotion.Look{State: promotion.VerificationUnknown, Evidence: err.Error()}
			}
		})
	}
	all.Wait()
	said := map[promotion.Verification][]string{}
	for _, look := range looks {
		said[look.State] = append(said[look.State], look.Evidence)
	}
	for _, state := range []promotion.Verification{promotion.VerificationFailed, promotion.VerificationUnknown, promotion.VerificationPending} {
		if len(said[state]) > 0 {
			return promotion.Look{State: state, Evidence: strings.Join(said[state], "; ")}
		}
	}
	return promotion.Look{State: promotion.VerificationPassed}
}

func (r *Reconciler) measureOne(ctx context.Context, subject *flaggerv1.Canary, m flaggerv1.CanaryMetric) promotion.Look {
	value, err := r.Checker.Check(ctx, subject, m)
	switch {
	case errors.Is(err, metric.ErrNoValues):
		return promotion.Look{State: promotion.VerificationPending, Evidence: m.Name + " has no values"}
	case err != nil:
		return promotion.Look{State: promotion.VerificationUnknown, Evidence: withoutTerminal(err).Error()}
	}
	within := flaggerv1.CanaryThresholdRange{Max: &m.Threshold}
	if m.ThresholdRange != nil {
		within = *m.ThresholdRange
	}
	switch sign, limit := within.Beyond(value); sign {
	case "<":
		return promotion.Look{State: promotion.VerificationFailed, Evidence: fmt.Sprintf("%s is %.6g, and has to be at least %v", m.Name, value, limit)}
	case ">":
		return promotion.Look{State: promotion.VerificationFailed, Evidence: fmt.Sprintf("%s is %.6g, and may be at most %v", m.Name, value, limit)}
	}
	return promotion.Look{State: promotion.VerificationPassed}
}
