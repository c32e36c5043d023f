// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
)

func TestWhoIsReconciledForWhat(t *testing.T) {
	elsewhere := app("elsewhere")
	elsewhere.Spec.SourceRef.Namespace = "other"
	substituted := app("substituted")
	substituted.Spec.SourceRef.Name = "unrelated"
	substituted.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "vars"}}}
	w := watches{cache: reconcilerWith(t, app("a"), app("b", "a"), elsewhere, substituted).client}
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "src"}}
	tests := map[string]struct {
		field, value string
		want         []string
	}{
		"a source":                     {bySource, "GitRepository/ns/src", []string{"a", "b"}},
		"a source of another kind":     {bySource, "Bucket/ns/src", nil},
		"a source elsewhere":           {bySource, "GitRepository/other/src", []string{"elsewhere"}},
		"a dependency":                 {byDependency, "ns/a", []string{"b"}},
		"a Secret with variables":      {byInput, "Secret/ns/vars", []string{"substituted"}},
		"a ConfigMap of the same name": {byInput, "ConfigMap/ns/vars", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, request := range w.find(t.Context(), tc.field, tc.value) {
				got = append(got, request.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("reconciled (-want +got):\n%s", diff)
			}
		})
	}
	if got := w.usersOf("GitRepository")(t.Context(), source); len(got) != 2 {
		t.Errorf("users of the source: %v", got)
	}
	if got := w.dependents(t.Context(), app("a")); len(got) != 1 || got[0].Name != "b" {
		t.Errorf("dependents: %v", got)
	}
}

func TestReadinessChanged(t *testing.T) {
	with := func(change func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
		k := app("a")
		change(k)
		return k
	}
	tests := map[string]struct {
		after *kustomizev1.Kustomization
		want  bool
	}{
		"nothing":          {after: app("a")},
		"another interval": {after: with(func(k *kustomizev1.Kustomization) { k.Spec.Interval.Duration = time.Hour })},
		"Ready": {after: with(func(k *kustomizev1.Kustomization) {
			k.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}
		}), want: true},
		"another revision": {after: with(func(k *kustomizev1.Kustomization) { k.Status.LastAppliedRevision = "x" }), want: true},
		"a generation":     {after: with(func(k *kustomizev1.Kustomization) { k.Generation = 2 }), want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := readinessChanged().Update(event.UpdateEvent{ObjectOld: app("a"), ObjectNew: tc.after}); got != tc.want {
				t.Errorf("passes = %v", got)
			}
		})
	}
}

func TestWhenWhatFailedIsTriedAgain(t *testing.T) {
	often := app("a")
	often.Spec.Interval.Duration = time.Minute
	tests := map[string]struct {
		got  *decide.Failure
		want decide.Failure
	}{
		"a path that is not there": {
			buildFailure(app("a"), build.ErrPathNotFound),
			decide.Failure{Reason: meta.ArtifactFailedReason, Retry: decide.RetryNever},
		},
		"a build that took too long": {
			buildFailure(often, build.ErrTimeout),
			decide.Failure{Reason: meta.BuildFailedReason, Retry: decide.RetryWhenWatched, After: slowRetry},
		},
		"a build that does not end": {
			buildFailure(often, build.ErrUnfinished),
			decide.Failure{Reason: meta.BuildFailedReason, Retry: decide.RetryWhenWatched, After: slowRetry},
		},
		"any other build": {
			buildFailure(app("a"), errors.New("x")),
			decide.Failure{Reason: meta.BuildFailedReason, Retry: decide.RetryWhenWatched},
		},
		"too many variables": {
			variablesFailure(build.ErrTooLarge),
			decide.Failure{Reason: meta.BuildFailedReason, Retry: decide.RetryNever},
		},
		"an object that terminates": {
			applyFailure(apply.ErrTerminating),
			decide.Failure{Reason: meta.ReconciliationFailedReason, Retry: decide.RetryPending, After: decide.UnwatchedInterval},
		},
		"any other apply": {
			applyFailure(errors.New("x")),
			decide.Failure{Reason: meta.ReconciliationFailedReason, Retry: decide.RetrySoon},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.Err = tc.got.Err
			if *tc.got != tc.want {
				t.Errorf("got %+v, want %+v", *tc.got, tc.want)
			}
		})
	}
}
