// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

func wantTerminal(t *testing.T, err error, about string) {
	t.Helper()
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), about) {
		t.Errorf("want a terminal error about %s, got %v", about, err)
	}
}

// rolling is a StatefulSet of five pods, of which so many have the new revision.
func rolling(t *testing.T, updated int) *contract.Fixture {
	t.Helper()
	tr := contract.New(t, "partition", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 60, Canary: 40})
	set := tr.Made()[0]
	set.SetUID("set")
	tr.Must(tr.Cluster.Update(t.Context(), set))
	set.Object["status"] = map[string]any{"currentRevision": "app-1", "updateRevision": "app-2", "replicas": int64(5),
		"currentReplicas": int64(5 - updated), "updatedReplicas": int64(updated), "observedGeneration": int64(9)}
	tr.Must(tr.Cluster.Status().Update(t.Context(), set))
	for i := range 5 {
		revision, yes := "app-1", true
		if i >= 5-updated {
			revision = "app-2"
		}
		tr.Must(tr.Cluster.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: tr.Canary.Namespace, Name: fmt.Sprintf("app-%d", i), UID: "pod",
				Labels:          map[string]string{"app": "app", appsv1.ControllerRevisionHashLabelKey: revision},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "app", UID: "set", Controller: &yes}}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}))
	}
	return tr
}

func partition(t *contract.Fixture) int64 {
	t.Helper()
	at, _, _ := unstructured.NestedInt64(t.Made()[0].Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	return at
}

func pods(t *contract.Fixture) (names []string) {
	t.Helper()
	found := &corev1.PodList{}
	t.Must(t.Cluster.List(t.Context(), found, client.InNamespace(t.Canary.Namespace)))
	for _, pod := range found.Items {
		names = append(names, pod.Name)
	}
	return names
}

func TestAWeightIsAPartition(t *testing.T) {
	tr := rolling(t, 2)
	tr.Wants(provider.Weights{Primary: 60, Canary: 40})
	if partition(tr) != 3 {
		t.Errorf("partition %d", partition(tr))
	}
	tr.Set(provider.Weights{Primary: 20, Canary: 80})
	if _, err := tr.Weights(t.Context(), tr.Canary); partition(tr) != 1 || !errors.Is(err, router.ErrNotAccepted) {
		t.Errorf("partition %d, and no pod has followed: %v", partition(tr), err)
	}
}

func TestPodsOfAFailedRevisionAreTakenBackOneByOne(t *testing.T) {
	tr := rolling(t, 2)
	tr.Set(provider.Weights{Primary: 100})
	if diff := cmp.Diff([]string{"app-0", "app-1", "app-2", "app-3"}, pods(tr)); diff != "" {
		t.Error(diff)
	}
	tr.Must(tr.Reconcile(t.Context(), tr.Canary))
	if got := len(pods(tr)); got != 4 {
		t.Errorf("%d pods are left before the first one is back", got)
	}
}

func TestAResetPartitionIsHeldAgain(t *testing.T) {
	tr := rolling(t, 2)
	editRoute(tr, func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, int64(0), "spec", "updateStrategy", "rollingUpdate", "partition")
	})
	tr.Must(tr.Reconcile(t.Context(), tr.Canary))
	if partition(tr) != 3 {
		t.Errorf("partition %d", partition(tr))
	}
}

func TestADeletedCanaryGivesThePartitionBack(t *testing.T) {
	tr := rolling(t, 2)
	tr.Must(tr.Finalize(t.Context(), tr.Canary))
	if left := tr.Made()[0]; partition(tr) != 0 || len(left.GetAnnotations()) > 0 {
		t.Errorf("partition %d, %v", partition(tr), left.GetAnnotations())
	}
}

func TestWhatAPartitionCannotDo(t *testing.T) {
	for field, change := range map[string]func(*flaggerv1.CanarySpec){
		"spec.analysis.iterations":          func(s *flaggerv1.CanarySpec) { s.Analysis.Iterations = 3 },
		"spec.analysis.stepWeightPromotion": func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeightPromotion = 10 },
		"spec.analysis.mirror":              func(s *flaggerv1.CanarySpec) { s.Analysis.Mirror = true },
		"spec.analysis.match":               func(s *flaggerv1.CanarySpec) { s.Analysis.Match = contract.Insider },
		"spec.analysis.sessionAffinity":     func(s *flaggerv1.CanarySpec) { s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{} },
		"spec.service.timeout":              func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "15s" },
		"spec.targetRef.kind":               func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind = "Deployment" },
	} {
		t.Run(field, func(t *testing.T) {
			tr := contract.New(t, "partition", contract.Cluster(t))
			change(&tr.Canary.Spec)
			wantTerminal(t, tr.Supports(tr.Canary), field)
		})
	}
}
