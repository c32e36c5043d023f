// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAConditionKeepsTheTimeOfItsLastTransition(t *testing.T) {
	obj := app()
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	healthy := func(status metav1.ConditionStatus, message string) metav1.Condition {
		return metav1.Condition{Type: "Healthy", Status: status, Reason: "Checked", Message: message}
	}
	SetCondition(obj, at(1), healthy(metav1.ConditionTrue, "first"))
	obj.Generation++
	SetCondition(obj, at(2), healthy(metav1.ConditionTrue, "\xff"))
	want := healthy(metav1.ConditionTrue, "\uFFFD")
	want.ObservedGeneration, want.LastTransitionTime = obj.Generation, metav1.NewTime(at(1))
	if diff := cmp.Diff([]metav1.Condition{want}, obj.Status.Conditions); diff != "" {
		t.Error(diff)
	}
	SetCondition(obj, at(3), healthy(metav1.ConditionFalse, strings.Repeat("x", 2*maxMessage)))
	got := obj.Status.Conditions[0]
	if !got.LastTransitionTime.Time.Equal(at(3)) || len(got.Message) > maxMessage+3 {
		t.Errorf("turned at %s, with a message of %d bytes", got.LastTransitionTime, len(got.Message))
	}
	RemoveCondition(obj, "Healthy")
	if len(obj.Status.Conditions) != 0 {
		t.Errorf("left are %v", obj.Status.Conditions)
	}
}

// A forge, a gateway or a webhook may answer with sequences that a terminal obeys: it could
// hide the rest of what a client of the cluster prints, or make another line of it.
func TestAMessageDoesNothingToTheTerminalThatShowsIt(t *testing.T) {
	for name, tc := range map[string]struct{ message, want string }{
		"text stays":                   {"über 1 → 2\n\t日本", "über 1 → 2\n\t日本"},
		"a sequence that clears lines": {"failed\x1b[2K\rReady", "failed\uFFFD[2K\uFFFDReady"},
		"a single control character":   {"a\u009b2Kb\x00\x7f", "a\uFFFD2Kb\uFFFD\uFFFD"},
		"one that turns the order":     {"a\u202eb\u2066c", "a\uFFFDb\uFFFDc"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := app()
			SetCondition(obj, time.Time{}, metav1.Condition{Type: "Ready", Message: tc.message})
			if got := obj.Status.Conditions[0].Message; got != tc.want {
				t.Errorf("the condition says %q", got)
			}
			if got := harmless(tc.message); got != tc.want {
				t.Errorf("an event says %q", got)
			}
		})
	}
}
