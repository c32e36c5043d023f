// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestARefusedObjectIsSaidToBeRefused(t *testing.T) {
	denied := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "AccessDenied", Message: "not for this namespace"}
	for name, tc := range map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"nothing is known yet": {},
		"ready":                {conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Message: "fine"}}},
		"a failure":            {[]metav1.Condition{denied}, "its last reconcile failed: AccessDenied: not for this namespace"},
		"a refusal": {
			[]metav1.Condition{denied, {Type: "Stalled", Status: metav1.ConditionTrue}},
			"the controller refuses it: AccessDenied: not for this namespace",
		},
	} {
		if got := Refusal(tc.conditions); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
