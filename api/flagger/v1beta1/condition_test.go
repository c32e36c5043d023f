// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestConditionsKeepTheirUpdateTime(t *testing.T) {
	early := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	late := metav1.NewTime(early.Add(time.Hour))
	later := metav1.NewTime(early.Add(2 * time.Hour))

	ready := func(updated, transition metav1.Time) CanaryCondition {
		return CanaryCondition{
			Type: "Ready", Status: metav1.ConditionTrue, Reason: "Succeeded",
			LastUpdateTime: updated, LastTransitionTime: transition, ObservedGeneration: 3,
		}
	}
	tests := map[string]struct {
		old  []CanaryCondition
		next metav1.Time
		want CanaryCondition
	}{
		"a new condition is updated when it changed": {
			next: early, want: ready(early, early),
		},
		"a condition that did not change keeps its update time": {
			old: []CanaryCondition{ready(late, early)}, next: early, want: ready(late, early),
		},
		"a later transition moves the update time": {
			old: []CanaryCondition{ready(late, early)}, next: later, want: ready(later, later),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &Canary{Status: CanaryStatus{Conditions: tc.old}}
			c.SetConditions([]metav1.Condition{{
				Type: "Ready", Status: metav1.ConditionTrue, Reason: "Succeeded",
				LastTransitionTime: tc.next, ObservedGeneration: 3,
			}})
			if diff := cmp.Diff([]CanaryCondition{tc.want}, c.Status.Conditions); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

// Clients that read the first condition saw Ready, of a Canary whose first run had failed.
func TestFlaggersConditionComesFirst(t *testing.T) {
	c := &Canary{}
	for _, kind := range []string{"Ready", "Reconciling", string(PromotedType), "Stalled"} {
		c.SetConditions(append(c.GetConditions(), metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Failed"}))
	}
	var got []string
	for _, condition := range c.Status.Conditions {
		got = append(got, string(condition.Type))
	}
	if diff := cmp.Diff([]string{string(PromotedType), "Ready", "Reconciling", "Stalled"}, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestConditionsSurviveBeingReadAndWritten(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	updated := metav1.NewTime(at.Add(time.Minute))
	want := []CanaryCondition{
		{Type: PromotedType, Status: metav1.ConditionUnknown, Reason: "Progressing", LastUpdateTime: updated, LastTransitionTime: at},
		{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Failed", Message: "m", LastTransitionTime: at, LastUpdateTime: at},
	}
	c := &Canary{Status: CanaryStatus{Conditions: want}}
	c.SetConditions(c.GetConditions())
	if diff := cmp.Diff(want, c.Status.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestNoConditionsStayNone(t *testing.T) {
	m, a := &MetricTemplate{}, &AlertProvider{}
	m.SetConditions(m.GetConditions())
	a.SetConditions(a.GetConditions())
	if m.Status.Conditions != nil || a.Status.Conditions != nil {
		t.Errorf("conditions appeared: %v, %v", m.Status.Conditions, a.Status.Conditions)
	}
}
