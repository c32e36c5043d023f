// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readyOf is the status of the condition Ready, Unknown before a controller has set
// one, and its message.
func readyOf(conditions []metav1.Condition) (status, message string) {
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready == nil {
		return string(metav1.ConditionUnknown), ""
	}
	return string(ready.Status), ready.Message
}

// Refusal is what the controller says of an object that it does not reconcile as it
// stands, "" while there is nothing of the kind: what is computed here from the spec
// alone, such as the choice of a policy, is then not what is so in the cluster.
func Refusal(conditions []metav1.Condition) string {
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse {
		return ""
	}
	after := "its last reconcile failed"
	if apimeta.IsStatusConditionTrue(conditions, meta.StalledCondition) {
		after = "the controller refuses it"
	}
	return fmt.Sprintf("%s: %s: %s", after, ready.Reason, ready.Message)
}
