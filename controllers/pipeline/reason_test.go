// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func TestWhyACanaryFailed(t *testing.T) {
	condition := func(text string) []flaggerv1.CanaryCondition {
		return []flaggerv1.CanaryCondition{{Type: flaggerv1.PromotedType, Status: metav1.ConditionFalse, Message: text}}
	}
	const scaled = "Canary analysis failed, Deployment scaled to zero."
	for name, tc := range map[string]struct {
		status flaggerv1.CanaryStatus
		want   string
	}{
		"what the last check measured": {
			flaggerv1.CanaryStatus{Conditions: condition(scaled), History: []flaggerv1.CanaryRelease{{Steps: []flaggerv1.CanaryStep{
				{Measured: []flaggerv1.CanaryMeasurement{{Name: "latency", Failure: "before"}}},
				{Measured: []flaggerv1.CanaryMeasurement{{Name: "latency"}, {Name: "success", Failure: "success 63.93 % is below 99 %"}}},
			}}}}, "success 63.93 % is below 99 %",
		},
		"Flagger's, which keeps no history": {flaggerv1.CanaryStatus{Conditions: condition(scaled)}, "Deployment scaled to zero."},
		"nothing that is known":             {flaggerv1.CanaryStatus{}, "it was rolled back"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := messageOf(&flaggerv1.Canary{Status: tc.status}); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// The summary of the stages was an event each time that a canary had another weight.
func TestANewSummaryIsNoEvent(t *testing.T) {
	e := newEnv(t)
	for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionTrue} {
		e.pipeline.Status.Conditions = []metav1.Condition{{
			Type: meta.ReadyCondition, Status: status, Reason: meta.SucceededReason, Message: "before",
		}}
		result, err := e.Reconcile(t.Context(), e.pipeline)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := result.ReadyEvent == reconciler.SkipReadyEvent, status == metav1.ConditionTrue; got != want {
			t.Errorf("Ready was %s: its event is skipped: %t", status, got)
		}
		e.fetch()
	}
}
