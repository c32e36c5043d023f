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
)

func wantTerminal(t *testing.T, err error, about string) {
	t.Helper()
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), about) {
		t.Errorf("want a terminal error about %s, got %v", about, err)
	}
}

// rolling is a StatefulSet of five pods, of which so many have the new revision.
func rolling(t *testing.T, updated int) *trial {
	t.Helper()
	tr := newTrial(t, "partition", clusterWith(t))
	tr.start(provider.Weights{Primary: 60, Canary: 40})
	set := tr.made()[0]
	set.SetUID("set")
	tr.must(tr.cluster.Update(t.Context(), set))
	set.Object["status"] = map[string]any{"currentRevision": "app-1", "updateRevision": "app-2", "replicas": int64(5),
		"currentReplicas": int64(5 - updated), "updatedReplicas": int64(updated), "observedGeneration": int64(9)}
	tr.must(tr.cluster.Status().Update(t.Context(), set))
	for i := range 5 {
		revision, yes := "app-1", true
		if i >= 5-updated {
			revision = "app-2"
		}
		tr.must(tr.cluster.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: tr.canary.Namespace, Name: fmt.Sprintf("app-%d", i), UID: "pod",
				Labels:          map[string]string{"app": "app", appsv1.ControllerRevisionHashLabelKey: revision},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "app", UID: "set", Controller: &yes}}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}))
	}
	return tr
}

func (t *trial) partition() int64 {
	t.Helper()
	at, _, _ := unstructured.NestedInt64(t.made()[0].Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	return at
}

func (t *trial) pods() (names []string) {
	t.Helper()
	found := &corev1.PodList{}
	t.must(t.cluster.List(t.Context(), found, client.InNamespace(t.canary.Namespace)))
	for _, pod := range found.Items {
		names = append(names, pod.Name)
	}
	return names
}

func TestAWeightIsAPartition(t *testing.T) {
	tr := rolling(t, 2)
	tr.wants(provider.Weights{Primary: 60, Canary: 40})
	if tr.partition() != 3 {
		t.Errorf("partition %d", tr.partition())
	}
	tr.set(provider.Weights{Primary: 20, Canary: 80})
	if _, err := tr.Weights(t.Context(), tr.canary); tr.partition() != 1 || !errors.Is(err, router.ErrNotAccepted) {
		t.Errorf("partition %d, and no pod has followed: %v", tr.partition(), err)
	}
}

func TestPodsOfAFailedRevisionAreTakenBackOneByOne(t *testing.T) {
	tr := rolling(t, 2)
	tr.set(provider.Weights{Primary: 100})
	if diff := cmp.Diff([]string{"app-0", "app-1", "app-2", "app-3"}, tr.pods()); diff != "" {
		t.Error(diff)
	}
	tr.must(tr.Reconcile(t.Context(), tr.canary))
	if got := len(tr.pods()); got != 4 {
		t.Errorf("%d pods are left before the first one is back", got)
	}
}

func TestAResetPartitionIsHeldAgain(t *testing.T) {
	tr := rolling(t, 2)
	tr.edit1(func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, int64(0), "spec", "updateStrategy", "rollingUpdate", "partition")
	})
	tr.must(tr.Reconcile(t.Context(), tr.canary))
	if tr.partition() != 3 {
		t.Errorf("partition %d", tr.partition())
	}
}

func TestADeletedCanaryGivesThePartitionBack(t *testing.T) {
	tr := rolling(t, 2)
	tr.must(tr.Finalize(t.Context(), tr.canary))
	if left := tr.made()[0]; tr.partition() != 0 || len(left.GetAnnotations()) > 0 {
		t.Errorf("partition %d, %v", tr.partition(), left.GetAnnotations())
	}
}

func TestWhatAPartitionCannotDo(t *testing.T) {
	for field, change := range map[string]func(*flaggerv1.CanarySpec){
		"spec.analysis.iterations":          func(s *flaggerv1.CanarySpec) { s.Analysis.Iterations = 3 },
		"spec.analysis.stepWeightPromotion": func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeightPromotion = 10 },
		"spec.analysis.mirror":              func(s *flaggerv1.CanarySpec) { s.Analysis.Mirror = true },
		"spec.analysis.match":               func(s *flaggerv1.CanarySpec) { s.Analysis.Match = insider },
		"spec.analysis.sessionAffinity":     func(s *flaggerv1.CanarySpec) { s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{} },
		"spec.service.timeout":              func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "15s" },
		"spec.targetRef.kind":               func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind = "Deployment" },
	} {
		t.Run(field, func(t *testing.T) {
			tr := newTrial(t, "partition", clusterWith(t))
			change(&tr.canary.Spec)
			wantTerminal(t, tr.Supports(tr.canary), field)
		})
	}
}
