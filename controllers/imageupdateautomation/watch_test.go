// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestOnlyMatchingAutomationsAreWoken(t *testing.T) {
	named := func(name string, change func(*imagev1.ImageUpdateAutomation)) *imagev1.ImageUpdateAutomation {
		return automation(func(a *imagev1.ImageUpdateAutomation) { a.Name = name; change(a) })
	}
	selecting := func(app string) func(*imagev1.ImageUpdateAutomation) {
		return func(a *imagev1.ImageUpdateAutomation) {
			a.Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
		}
	}
	artifact := func(r *sourcev1.GitRepository) {
		r.Status.ObservedGeneration = 1
		r.Status.Artifact = &meta.Artifact{Revision: "main@sha1:new"}
	}
	f := newFixture(t,
		named("all", func(*imagev1.ImageUpdateAutomation) {}),
		named("matching", selecting("app")),
		named("other-policies", selecting("x")),
		named("seen", func(a *imagev1.ImageUpdateAutomation) { a.Status.ObservedSourceRevision = "main@sha1:new" }),
		named("other-source", func(a *imagev1.ImageUpdateAutomation) { a.Spec.SourceRef.Name = "x" }),
		named("other-namespace", func(a *imagev1.ImageUpdateAutomation) {
			a.Namespace, a.Spec.SourceRef.Namespace = "others", "apps"
		}),
		shop(func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "fleet" }))
	tests := map[string]struct {
		got  []reconcile.Request
		want []string
	}{
		"a policy wakes those of its namespace that select it": {
			f.automationsOfPolicy(t.Context(), policy("2")), []string{"all", "matching", "other-source", "seen"}},
		"a new revision wakes those that have not seen it": {
			f.automationsOfSource(t.Context(), source(artifact)), []string{"all", "matching", "other-policies", "other-namespace"}},
		"a new spec wakes all of the source": {
			f.automationsOfSource(t.Context(), source(artifact, func(r *sourcev1.GitRepository) { r.Generation++ })),
			[]string{"all", "matching", "other-policies", "seen", "other-namespace"}},
		// They left the markers to the stage, of whatever repository that was by now, until their interval was over.
		"a new spec of a pipeline's source wakes those beside the pipeline": {
			f.automationsBeside(t.Context(), source(func(r *sourcev1.GitRepository) { r.Name = "fleet" })),
			[]string{"all", "matching", "other-policies", "other-source", "seen"}},
		"their own source is told of by another watch": {f.automationsBeside(t.Context(), source()), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range tc.got {
				got = append(got, r.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyChangesThatMatter(t *testing.T) {
	tests := map[string]struct {
		before, after func(*imagev1.ImagePolicy)
		want          bool
	}{
		"nothing":                  {want: false},
		"another tag":              {after: func(p *imagev1.ImagePolicy) { p.Status.LatestRef.Tag = "3" }, want: true},
		"another digest":           {after: func(p *imagev1.ImagePolicy) { p.Status.LatestRef.Digest = "sha256:1" }, want: true},
		"becoming ready":           {before: func(p *imagev1.ImagePolicy) { p.Status.Conditions = nil }, want: true},
		"failing":                  {after: func(p *imagev1.ImagePolicy) { p.Status.Conditions[0].Status = metav1.ConditionFalse }, want: true},
		"another message":          {after: func(p *imagev1.ImagePolicy) { p.Status.Conditions[0].Message = "x" }, want: false},
		"other labels":             {after: func(p *imagev1.ImagePolicy) { p.Labels = nil }, want: true},
		"a choice that is not set": {before: func(p *imagev1.ImagePolicy) { p.Status.LatestRef = nil }, want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := policy("2"), policy("2")
			if tc.before != nil {
				tc.before(before)
			}
			if tc.after != nil {
				tc.after(after)
			}
			if got := policyChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
				t.Errorf("passes: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSourceChangesThatMatter(t *testing.T) {
	tests := map[string]struct {
		after func(*sourcev1.GitRepository)
		want  bool
	}{
		"nothing":       {func(*sourcev1.GitRepository) {}, false},
		"a spec":        {func(r *sourcev1.GitRepository) { r.Generation++ }, true},
		"a revision":    {func(r *sourcev1.GitRepository) { r.Status.Artifact = &meta.Artifact{Revision: "main@sha1:1"} }, true},
		"its condition": {func(r *sourcev1.GitRepository) { r.Status.Conditions = []metav1.Condition{{Type: "Ready"}} }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := sourceChanged().Update(event.UpdateEvent{ObjectOld: source(), ObjectNew: source(tc.after)}); got != tc.want {
				t.Errorf("passes: %v, want %v", got, tc.want)
			}
		})
	}
}
