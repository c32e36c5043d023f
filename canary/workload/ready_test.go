// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestReadiness(t *testing.T) {
	unavailable := func(since time.Duration) appsv1.DeploymentCondition {
		return appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse,
			Reason: "MinimumReplicasUnavailable", LastUpdateTime: metav1.NewTime(noon.Add(-since))}
	}
	for name, tc := range map[string]struct {
		replicas   int32
		generation int64
		paused     time.Duration // for how long
		status     appsv1.DeploymentStatus
		threshold  int
		wantReady  bool
		wantStuck  bool
	}{
		"all pods are there": {
			replicas:  4,
			status:    appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 4, AvailableReplicas: 4},
			wantReady: true,
		},
		"one is missing": {replicas: 4, status: appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 4, AvailableReplicas: 3}},
		"enough for the threshold": {
			replicas:  4,
			threshold: 75,
			status:    appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 4, AvailableReplicas: 3},
			wantReady: true,
		},
		"none is never enough":      {replicas: 1, threshold: 50, status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1}},
		"an old pod is still there": {replicas: 4, status: appsv1.DeploymentStatus{Replicas: 5, UpdatedReplicas: 4, AvailableReplicas: 5}},
		"a rollout that has begun":  {replicas: 4, status: appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 1, AvailableReplicas: 4}},
		"a change nobody has seen": {
			replicas:   1,
			generation: 2,
			status:     appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
		},
		"scaled to zero": {replicas: 0, status: appsv1.DeploymentStatus{}},
		"past Kubernetes' deadline": {replicas: 1, wantStuck: true, status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Reason: "ProgressDeadlineExceeded"}}}},
		"unavailable for a while": {replicas: 1, status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1,
			Conditions: []appsv1.DeploymentCondition{unavailable(time.Minute)}}},
		"unavailable for too long": {replicas: 1, wantStuck: true, status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1,
			Conditions: []appsv1.DeploymentCondition{unavailable(time.Hour)}}},
		"paused for a while, with pods of before": {replicas: 2, paused: time.Minute,
			status: appsv1.DeploymentStatus{Replicas: 2, AvailableReplicas: 2}},
		"paused for too long, with pods of before": {replicas: 2, paused: time.Hour, wantStuck: true,
			status: appsv1.DeploymentStatus{Replicas: 2, AvailableReplicas: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Generation: tc.generation},
				Spec:       appsv1.DeploymentSpec{Replicas: ptr.To(tc.replicas), Paused: tc.paused > 0},
				Status:     tc.status,
			}
			if tc.threshold == 0 {
				tc.threshold = 100
			}
			got := describe(d, patience{threshold: tc.threshold, deadline: 10 * time.Minute, now: noon, since: noon.Add(-tc.paused)})
			if got.Ready != tc.wantReady || got.Stuck != tc.wantStuck || (got.Why == "") != got.Ready {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What keeps Kubernetes from making pods was in the status, and nobody said it.
func TestWhyADeploymentGetsNoPods(t *testing.T) {
	quota := `pods "web-5d" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=1, limited: pods=1`
	failure := appsv1.DeploymentCondition{
		Type:    appsv1.DeploymentReplicaFailure,
		Status:  corev1.ConditionTrue,
		Reason:  "FailedCreate",
		Message: quota,
	}
	waits := "waiting for rollout to finish: 0 out of 1 new replicas have been updated"
	for name, tc := range map[string]struct {
		paused     bool
		conditions []appsv1.DeploymentCondition
		want       string
	}{
		"nothing is wrong": {want: waits},
		"a quota":          {conditions: []appsv1.DeploymentCondition{failure}, want: waits + "; ReplicaFailure: " + quota},
		"a quota in former days": {
			conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionFalse, Message: quota}},
			want:       waits,
		},
		"a quota, for too long": {conditions: []appsv1.DeploymentCondition{
			failure,
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
		},
			want: `deployment "web" exceeded its progress deadline; ReplicaFailure: ` + quota},
		"no replica set": {conditions: []appsv1.DeploymentCondition{{
			Type:    appsv1.DeploymentProgressing,
			Status:  corev1.ConditionFalse,
			Reason:  "ReplicaSetCreateError",
			Message: "denied by policy",
		}},
			want: waits + "; ReplicaSetCreateError: denied by policy"},
		"a pause": {paused: true, want: waits + "; Deployment is paused (spec.paused)"},
		"a long story": {conditions: []appsv1.DeploymentCondition{{
			Type:    appsv1.DeploymentReplicaFailure,
			Status:  corev1.ConditionTrue,
			Message: strings.Repeat("a", 5000),
		}},
			want: waits + "; ReplicaFailure: " + strings.Repeat("a", 197) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
				Name: "web",
			}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(1)), Paused: tc.paused},
				Status: appsv1.DeploymentStatus{Conditions: tc.conditions}}
			if got := describe(d, patience{threshold: 100, deadline: time.Minute, now: noon}); got.Why != tc.want {
				t.Errorf("got %q, want %q", got.Why, tc.want)
			}
		})
	}
}
