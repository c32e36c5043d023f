// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/report"
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

// Objects of RBAC with a colon in their name, which an inventory writes as two underscores, were missing from the tree.
func TestAnInventoryHasObjectsWithAColonInTheirName(t *testing.T) {
	entries := []any{}
	for _, id := range []string{
		"_system__controller_rbac.authorization.k8s.io_ClusterRole", "apps_web_apps_Deployment", "apps_a.b__c__d_rbac.authorization.k8s.io_Role",
		"_apps__Namespace", "nothing",
	} {
		entries = append(entries, map[string]any{"id": id, "v": "v1"})
	}
	got := inventoryOf(&unstructured.Unstructured{Object: map[string]any{
		"status": map[string]any{"inventory": map[string]any{"entries": entries}},
	}})
	want := []report.ObjectReference{
		{Kind: "ClusterRole", Name: "system:controller"}, {Kind: "Deployment", Namespace: "apps", Name: "web"},
		{Kind: "Role", Namespace: "apps", Name: "a.b:c:d"}, {Kind: "Namespace", Name: "apps"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
