// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// A source that a tenant may not list, or that is outside the only namespace that is looked at, was called failed and "not there".
func TestASourceThatOneMayNotListIsNotCalledGone(t *testing.T) {
	all := []string{"Kustomization", "Canary", "Deployment", "GitRepository"}
	for name, tc := range map[string]struct {
		cluster func(*Cluster)
		of      scope
		want    report.CellState
		says    string
	}{
		"of a tenant with few kinds": {of: in("apps", all[:3]...), want: report.CellUnknown,
			says: "GitRepository apps/gone: you may not list gitrepositories.source.toolkit.fluxcd.io in namespace apps, " +
				"or nothing that is shown is there"},
		"of a tenant with all": {of: in("apps", all...), want: report.CellFailed, says: "is not there"},
		"of another namespace": {cluster: func(c *Cluster) { c.namespace = "other" }, of: scope{everything: true}, want: report.CellUnknown,
			says: "GitRepository apps/gone: only namespace other is looked at"},
		"of a kind that is not served": {cluster: func(c *Cluster) {
			delete(c.kinds, "GitRepository")
			c.missing = []Missing{{"GitRepository", "the cluster does not serve it"}}
		}, of: scope{everything: true}, want: report.CellUnknown, says: "GitRepository apps/gone: the cluster does not serve it"},
	} {
		cluster := furnished(t)
		var k kustomizev1.Kustomization
		if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "shop"}, &k); err != nil {
			t.Fatal(err)
		}
		k.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "gone"}
		if err := cluster.client.Update(t.Context(), &k); err != nil {
			t.Fatal(err)
		}
		if tc.cluster != nil {
			tc.cluster(cluster)
		}
		objects, err := cluster.ownerView().within(tc.of).objects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lanes := report.Lanes(objects).Items
		i := slices.IndexFunc(lanes, func(l report.Lane) bool { return l.Key == "Kustomization/apps/shop" })
		if i < 0 {
			t.Fatalf("%s: there is no lane of the Kustomization in %+v", name, lanes)
		}
		if source := lanes[i].Cells[3]; source.State != tc.want || !strings.Contains(source.Message, tc.says) {
			t.Errorf("%s: %s %q", name, source.State, source.Message)
		}
	}
}
