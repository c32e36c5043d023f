// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/partition"
)

// database is a StatefulSet of three pods, and the world as its controller would
// leave it: pods has a letter for each, see below.
func database(t *testing.T, pods string, change func(*appsv1.StatefulSet)) *fixture {
	t.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "podinfo", UID: "set", Generation: 1}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "podinfo"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "podinfo"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db:2"}}}},
		UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
			RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To(int32(partition.HoldAllPods))},
		},
	}, Status: appsv1.StatefulSetStatus{ObservedGeneration: 1, CurrentRevision: "db-1", UpdateRevision: "db-2", Replicas: 3}}
	old := set.DeepCopy().Spec.Template
	old.Spec.Containers[0].Image = "db:1"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": templateJSON(t, old)}})
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		set,
		&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "db-1"}, Revision: 1, Data: runtime.RawExtension{Raw: data}},
	}
	for i, kind := range pods {
		pod := stsPod(fmt.Sprintf("podinfo-%d", i), kind)
		objects = append(objects, pod)
		switch ready := kind != 'b'; {
		case kind == '1':
			set.Status.CurrentReplicas++
			set.Status.AvailableReplicas++
		case ready:
			set.Status.AvailableReplicas++
			fallthrough
		default:
			set.Status.UpdatedReplicas++
		}
	}
	if change != nil {
		change(set)
	}
	b := newFixture(t, objects...)
	b.canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "podinfo"}
	return b
}

func templateJSON(t *testing.T, template corev1.PodTemplateSpec) map[string]any {
	t.Helper()
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&template)
	if err != nil {
		t.Fatal(err)
	}
	out["$patch"] = "replace"
	return out
}

// stsPod is a pod of the old revision (1), of the new one (2), or one of that
// which crashes (b).
func stsPod(name string, kind rune) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"app":                                 "podinfo",
		appsv1.ControllerRevisionHashLabelKey: "db-2",
	},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1",
			Kind:       "StatefulSet",
			Name:       "podinfo",
			UID:        "set",
			Controller: ptr.To(true),
		}}}}
	if kind == '1' {
		pod.Labels[appsv1.ControllerRevisionHashLabelKey] = "db-1"
	}
	if kind == 'b' {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "db", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"},
		},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 3}}}}
		return pod
	}
	pod.Status.Conditions = []corev1.PodCondition{{
		Type:               corev1.PodReady,
		Status:             corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(noon.Add(-time.Minute)),
	}}
	return pod
}

func TestAStatefulSetIsTwoHalves(t *testing.T) {
	at := func(p int32) func(*appsv1.StatefulSet) {
		return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &p }
	}
	type half struct {
		Replicas, Available int32
		Ready               bool
	}
	for name, tc := range map[string]struct {
		pods            string
		change          func(*appsv1.StatefulSet)
		target, primary half
		wantWhy         string
	}{
		"a new template is held back": {"111", nil, half{0, 0, true}, half{3, 3, true}, ""},
		"at rest": {"111", func(s *appsv1.StatefulSet) { s.Status.UpdateRevision = "db-1" },
			half{0, 0, true}, half{3, 3, true}, ""},
		"a pod has it":        {"112", at(2), half{1, 1, true}, half{2, 2, true}, ""},
		"a pod is to have it": {"111", at(2), half{1, 0, false}, half{2, 3, false}, ""},
		"the pod that has it crashes": {
			"11b",
			at(2),
			half{1, 0, false},
			half{2, 2, true},
			"pod podinfo-2: container db: CrashLoopBackOff (Error, exit code 3)",
		},
		"a pod is to be taken back": {"112", nil, half{0, 1, false}, half{3, 2, false}, ""},
		"a change nobody has seen":  {"112", func(s *appsv1.StatefulSet) { s.Generation = 2 }, half{0, 0, false}, half{3, 3, false}, ""},
		"some pods must stay for long": {
			"112",
			func(s *appsv1.StatefulSet) { at(2)(s); s.Spec.MinReadySeconds = 120 },
			half{1, 0, false},
			half{2, 0, false},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := database(t, tc.pods, tc.change).observe()
			got := []half{{p.Target.Replicas, p.Target.Available, p.Target.Ready}, {p.Primary.Replicas, p.Primary.Available, p.Primary.Ready}}
			if diff := cmp.Diff([]half{tc.target, tc.primary}, got); diff != "" || !strings.Contains(p.Target.Why, tc.wantWhy) {
				t.Errorf("%s%q %q", diff, p.Target.Why, p.Primary.Why)
			}
		})
	}
}

func TestWhatAStatefulSetsPodsAreMadeOf(t *testing.T) {
	b := database(t, "111", nil)
	p := b.observe()
	if p.Target.Images[0] != "db:2" || p.Primary.Images[0] != "db:1" || p.Primary.Revision == p.Target.Revision ||
		!strings.HasPrefix(p.Primary.Revision, canary.DigestPrefix) {
		t.Fatalf("target %+v, primary %+v", p.Target, p.Primary)
	}
	set := &appsv1.StatefulSet{}
	b.get("podinfo", set)
	set.Spec.Template.Spec.Containers[0].Image = "db:1" // Git goes back
	b.must(b.c.Update(t.Context(), set))
	if again := b.observe(); again.Target.Revision != p.Primary.Revision {
		t.Error("a revert is not recognised")
	}
}

func TestAStatefulSetIsPromotedByItsPartition(t *testing.T) {
	b := database(t, "112", func(s *appsv1.StatefulSet) {
		s.Annotations = map[string]string{partition.WeightAnnotation: "20"}
		s.Spec.UpdateStrategy.RollingUpdate.Partition = ptr.To(int32(2))
	})
	p := b.observe()
	b.must(p.Save(t.Context(), p.Revision.Digest))
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	b.must(b.observe().SetPrimary(t.Context(), p.Revision.Digest))
	at := func() int32 {
		set := &appsv1.StatefulSet{}
		b.get("podinfo", set)
		return *set.Spec.UpdateStrategy.RollingUpdate.Partition
	}
	if at() != 0 {
		t.Fatalf("partition %d", at())
	}
	under := b.observe()
	if under.Primary.Revision != p.Revision.Digest || under.Primary.Ready || under.Primary.Available != 3 {
		t.Errorf("while it is promoted: %+v", under.Primary)
	}
	b.must(under.StopTarget(t.Context())) // it is given up
	if at() != 2 || b.observe().Primary.Revision == p.Revision.Digest {
		t.Errorf("given up at partition %d: %+v", at(), b.observe().Primary)
	}
	if err := p.SetPrimary(t.Context(), "sha256:other"); err == nil {
		t.Error("promoted what is not in the template")
	}
	b.must(p.Prune(t.Context(), nil))
}

func TestATemplateThatChangedMeanwhileIsNotPromoted(t *testing.T) {
	b := database(t, "112", nil)
	p := b.observe()
	set := &appsv1.StatefulSet{}
	b.get("podinfo", set)
	set.Spec.Template.Spec.Containers[0].Image = "db:3"
	b.must(b.c.Update(t.Context(), set))
	if err := p.SetPrimary(t.Context(), p.Revision.Digest); err == nil {
		t.Fatal("no conflict")
	}
}

func TestStatefulSetsThatCannotBeHeldBack(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*appsv1.StatefulSet)
		provider string
		want     string
	}{
		"pods that are replaced by hand": {
			func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType },
			"",
			"spec.updateStrategy.type",
		},
		"a single pod":           {func(s *appsv1.StatefulSet) { s.Spec.Replicas = ptr.To(int32(1)) }, "", "spec.replicas"},
		"a provider that routes": {nil, "istio", "spec.provider"},
	} {
		t.Run(name, func(t *testing.T) {
			b := database(t, "111", tc.change)
			b.canary.Spec.Provider = tc.provider
			_, err := b.manager.Observe(t.Context(), b.canary)
			wantTerminal(t, err, tc.want)
		})
	}
	gone := database(t, "1", func(s *appsv1.StatefulSet) { s.Spec.Replicas = ptr.To(int32(1)) })
	gone.canary.DeletionTimestamp = ptr.To(metav1.NewTime(noon))
	if _, err := gone.observe().RevertTarget(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheServicesOfAStatefulSet(t *testing.T) {
	mine := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "podinfo"}, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app": "podinfo"}, Ports: []corev1.ServicePort{{Port: 5432}}}}
	b := database(t, "112", nil)
	mine.Namespace = "test"
	b.must(b.c.Create(t.Context(), mine))
	b.must(b.observe().EnsureServices(t.Context()))
	b.must(b.observe().EnsureApex(t.Context()))
	if svc := b.service("podinfo"); svc.ResourceVersion != mine.ResourceVersion {
		t.Errorf("the owner's Service was changed: %+v", svc)
	}
	got := []map[string]string{b.service("podinfo-primary").Spec.Selector, b.service("podinfo-canary").Spec.Selector}
	want := []map[string]string{{"app": "podinfo", "controller-revision-hash": "db-1"}, {"app": "podinfo", "controller-revision-hash": "db-2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.must(b.c.Delete(t.Context(), mine))
	b.must(b.observe().EnsureApex(t.Context()))
	if diff := cmp.Diff(map[string]string{"app": "podinfo"}, b.service("podinfo").Spec.Selector); diff != "" {
		t.Error(diff)
	}
}
