// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What Flux had applied turned not Ready for a moment, and back, with an alert of both, when Sluice took over: it had yet
// to fetch the sources.
func TestARunThatCannotBeginYetSaysNothing(t *testing.T) {
	const after = 3 * time.Second
	err := Deferred(WithReason(meta.ArtifactFailedReason, errors.New("the source is to be fetched first")), after)
	tests := map[string]struct {
		before     *metav1.Condition
		want       metav1.ConditionStatus
		wantEvents int
	}{
		"of an object that is Ready": {
			before: &metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: "Done", ObservedGeneration: 3},
			want:   metav1.ConditionTrue,
		},
		"of an object that has failed": {
			before: &metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "Broken", ObservedGeneration: 3},
			want:   metav1.ConditionFalse,
		},
		"unless the spec is another one": {
			before: &metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: "Done", ObservedGeneration: 2},
			want:   metav1.ConditionFalse, wantEvents: 1,
		},
		"unless nothing was said yet": {want: metav1.ConditionFalse, wantEvents: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := app()
			obj.Finalizers = []string{DefaultFinalizer}
			if tc.before != nil {
				tc.before.LastTransitionTime = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
				obj.Status.Conditions = []metav1.Condition{*tc.before}
			}
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{}, err }}, obj, nil)
			before := b.get(t)
			result, got := b.reconcile()
			if got != nil || result.RequeueAfter != after {
				t.Errorf("Reconcile = %+v, %v, want it again after %s", result, got, after)
			}
			is := b.get(t)
			if ready := apimeta.FindStatusCondition(is.Status.Conditions, meta.ReadyCondition); ready == nil || ready.Status != tc.want {
				t.Errorf("Ready is %+v, want %s", ready, tc.want)
			}
			if len(*b.events) != tc.wantEvents {
				t.Errorf("events are %v, want %d", *b.events, tc.wantEvents)
			}
			if diff := cmp.Diff(before.Status, is.Status); diff != "" && tc.wantEvents == 0 {
				t.Errorf("the status changed, as if the request were handled (-before +after):\n%s", diff)
			}
		})
	}
}
