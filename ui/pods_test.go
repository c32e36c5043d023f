// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/make"
)

func TestThePodsOfACanaryThatAreNotReadyComeFirstAndSayWhy(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))
	workload := func(name string) client.Object {
		return make.Deployment("apps", name, "app:2")
	}
	pod := func(name, of, replicaSet string, status corev1.PodStatus) client.Object {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "apps", Name: name, CreationTimestamp: at,
				Labels: map[string]string{"app": of, appsv1.DefaultDeploymentUniqueLabelKey: "1"},
				OwnerReferences: []metav1.OwnerReference{
					*metav1.NewControllerRef(&metav1.ObjectMeta{Name: replicaSet}, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")),
				},
			},
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:2"}}},
			Status: status,
		}
	}
	ready := corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	crashing := corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", RestartCount: 4, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
	}}}
	canary := func(kind string) *flaggerv1.Canary {
		c := make.Canary("apps", "web")
		c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name = kind, "web"
		return c
	}
	v := &view{client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(workload("web"), workload("web-primary"),
		pod("old", "web-primary", "web-primary-1", ready), pod("new", "web", "web-1", crashing),
		pod("other", "web", "batch-1", ready)).Build()}

	want := []Pod{
		{Name: "new", Workload: "web", Image: "app:2", Why: "container app: CrashLoopBackOff", Restarts: 4, Since: at.Time},
		{Name: "old", Workload: "web-primary", Primary: true, Image: "app:2", Since: at.Time},
	}
	got, problem := v.podsOf(t.Context(), canary("Deployment"))
	if diff := cmp.Diff(want, got); diff != "" || problem != "" {
		t.Errorf("%s, problem %q", diff, problem)
	}
	if got, problem := v.podsOf(t.Context(), canary("Service")); len(got) != 0 || problem != "" {
		t.Errorf("a Service has pods %v, problem %q", got, problem)
	}
	if got, problem := v.podsOf(t.Context(), canary("StatefulSet")); len(got) != 0 || problem != "" {
		t.Errorf("of what is not there: pods %v, problem %q", got, problem)
	}
}
