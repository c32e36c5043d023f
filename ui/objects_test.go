// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSinceWhenARolloutIsAsItIs(t *testing.T) {
	type condition = appsv1.DeploymentCondition
	of := func(kind appsv1.DeploymentConditionType, is corev1.ConditionStatus, reason string, changed, updated int64) condition {
		return condition{Type: kind, Status: is, Reason: reason, Message: reason,
			LastTransitionTime: metav1.Unix(changed, 0), LastUpdateTime: metav1.Unix(updated, 0)}
	}
	available := of(appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", 1, 1)
	ended := of(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", 1, 20)
	for name, tc := range map[string]struct {
		conditions []condition
		stuck      string
		since      int64
	}{
		"it ended": {[]condition{available, ended}, "", 20},
		"it goes on": {[]condition{
			available, of(appsv1.DeploymentProgressing, corev1.ConditionTrue, "ReplicaSetUpdated", 1, 30)}, "", 0},
		"it is stuck": {[]condition{
			available, of(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded", 40, 41)},
			"ProgressDeadlineExceeded", 40},
		"pods are refused": {[]condition{
			ended, of(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate", 50, 51)}, "FailedCreate", 50},
		"the last pod was lost after it": {[]condition{
			ended, of(appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", 60, 61)}, "", 60},
		"nothing is known": {nil, "", 0},
	} {
		stuck, since := rolloutOf(tc.conditions)
		if stuck != tc.stuck || (since == nil) != (tc.since == 0) || since != nil && since.Unix() != tc.since {
			t.Errorf("%s: %q since %v", name, stuck, since)
		}
	}
}
