// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ofCanary makes an object that of another canary.
func ofCanary(object client.Object, name string) client.Object {
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name)}}
	object.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(c, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))})
	return object
}

func selecting(name string, selector set) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Selector: selector}}
}

// wantRefusal observes the canary, and fails unless it is refused for good, or is stuck in
// mid-release, because of want; empty is that it is accepted.
func (b *fixture) wantRefusal(want string, stuck bool) {
	b.t.Helper()
	p, err := b.manager.Observe(b.t.Context(), b.canary)
	switch {
	case stuck:
		if err != nil || !p.Target.Stuck || !strings.Contains(p.Target.Why, want) {
			b.t.Errorf("%v %+v", err, p.Target)
		}
	case want == "" && err != nil:
		b.t.Error(err)
	case want != "":
		wantTerminal(b.t, err, want)
	}
}

// Only the pods that a canary's own Services select were compared: one that came later,
// with more labels, gave its pods to the users of the one that was there.
func TestAPrimaryThatAnotherCanarysUsersWouldGet(t *testing.T) {
	web := set{"app": "shop", "component": "web"}
	adopted := selecting("worker", set{"app": "shop-primary"})
	adopted.Annotations = set{originalAnnotation: `{"canary":"worker"}`}
	mine := selecting("podinfo", set{"app": "shop-primary"})
	mine.Annotations = set{originalAnnotation: `{"canary":"podinfo"}`}
	for name, tc := range map[string]struct {
		service   client.Object
		phase     flaggerv1.CanaryPhase
		want      string
		wantStuck bool
	}{
		"by the Service of its primary": {
			service: ofCanary(selecting("worker-primary", set{"app": "shop-primary"}), "worker"),
			want:    "pods of podinfo-primary would have all labels that Service worker-primary.test of Canary worker selects by (app=shop-primary)",
		},
		"by a Service that it took over": {service: adopted, want: "Service worker.test of Canary worker"},
		"by the Service of its primary, in mid-release": {
			service: ofCanary(selecting("worker-primary", set{"app": "shop-primary"}), "worker"), phase: flaggerv1.CanaryPhaseProgressing,
			want: "Service worker-primary.test of Canary worker", wantStuck: true,
		},
		"not by that of its canary, which has no users yet": {service: ofCanary(selecting("worker-canary", set{"app": "shop"}), "worker")},
		"not by one of other pods": {
			service: ofCanary(selecting("worker-primary", set{"app": "shop-primary", "component": "worker"}), "worker"),
		},
		"not by one of nobody's canary": {service: selecting("all", set{"app": "shop-primary"})},
		"not by its own":                {service: mine},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, shop("podinfo", web, web), tc.service)
			b.canary.Status.Phase = tc.phase
			b.wantRefusal(tc.want, tc.wantStuck)
		})
	}
}

// Pods of a Job that had the labels of the application got the users of its canary.
func TestPodsOfOthersThatHaveTheLabelsOfTheTarget(t *testing.T) {
	pod := func(api, kind, owner string, edit func(*corev1.Pod)) *corev1.Pod {
		made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "one", Labels: set{"app": "shop", "component": "web"}}}
		made.OwnerReferences = []metav1.OwnerReference{{APIVersion: api, Kind: kind, Name: owner, UID: "owner", Controller: ptr.To(true)}}
		made.Status.Phase = corev1.PodRunning
		if edit != nil {
			edit(made)
		}
		return made
	}
	hashed := func(p *corev1.Pod) { p.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = "5d4" }
	for name, tc := range map[string]struct {
		pod   *corev1.Pod
		phase flaggerv1.CanaryPhase
		want  string
	}{
		"a Job's": {
			pod:  pod("batch/v1", "Job", "migrate", nil),
			want: "pod one.test of Job migrate has all labels that those of deployment podinfo.test are selected by (app=shop)",
		},
		"a Job's, in mid-release": {
			pod: pod("batch/v1", "Job", "migrate", nil), phase: flaggerv1.CanaryPhaseProgressing, want: "pod one.test of Job migrate",
		},
		"a ReplicaSet's that no Deployment made": {pod: pod("apps/v1", "ReplicaSet", "old", nil), want: "pod one.test of ReplicaSet old"},
		"a StatefulSet's of somebody else's kind": {
			pod: pod("apps.kruise.io/v1beta1", "StatefulSet", "db", nil), want: "pod one.test of StatefulSet db",
		},
		"a Deployment's, which is compared by its template": {pod: pod("apps/v1", "ReplicaSet", "podinfo-5d4", hashed)},
		"a Job's that has ended": {
			pod: pod("batch/v1", "Job", "migrate", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		},
		"a Job's with labels of its own": {pod: pod("batch/v1", "Job", "migrate", func(p *corev1.Pod) { p.Labels["app"] = "migrate" })},
		"nobody's":                       {pod: pod("", "", "", func(p *corev1.Pod) { p.OwnerReferences = nil })},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, shop("podinfo", set{"app": "shop"}, set{"app": "shop"}), tc.pod)
			b.canary.Status.Phase = tc.phase
			p, err := b.manager.Observe(t.Context(), b.canary)
			switch {
			case tc.phase != "":
				if err != nil || p.Target.Ready || p.Target.Stuck || !strings.Contains(p.Target.Why, tc.want) {
					t.Errorf("%v %+v", err, p.Target)
				}
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (!errors.Is(err, ErrShared) ||
				errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v", err)
			}
			if tc.want == "" {
				return
			}
			b.must(b.c.Delete(t.Context(), tc.pod))
			if p := b.observe(); p.Target.Why == tc.want {
				t.Errorf("it is gone: %+v", p.Target)
			}
		})
	}
}

// A Job that started in the middle of a release was not seen: its pods got users.
func TestAJobThatStartsInMidRelease(t *testing.T) {
	b := newFixture(t, shop("podinfo", set{"app": "shop"}, set{"app": "shop"}))
	clk := clocktesting.NewFakePassiveClock(noon)
	b.manager.clock = clk
	b.canary.Status.Phase = flaggerv1.CanaryPhaseProgressing
	if p := b.observe(); p.Target.Shared {
		t.Fatalf("at first: %+v", p.Target)
	}
	job := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "one", Labels: set{"app": "shop"}}}
	job.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "migrate", UID: "job", Controller: ptr.To(true)}}
	job.Status.Phase = corev1.PodRunning
	b.must(b.c.Create(t.Context(), job))
	if p := b.observe(); p.Target.Shared {
		t.Error("looked for again at once")
	}
	clk.SetTime(noon.Add(podCheckInterval))
	for range 2 {
		if p := b.observe(); !p.Target.Shared || p.Target.Ready || p.Target.Stuck || !strings.Contains(p.Target.Why, "Job migrate") {
			t.Errorf("it runs: %+v", p.Target)
		}
	}
	b.must(b.c.Delete(t.Context(), job))
	if p := b.observe(); p.Target.Shared {
		t.Errorf("it is gone: %+v", p.Target)
	}
}

// A Deployment that was made in the middle of a release was compared once the target
// changed the next time: until then its pods got users.
func TestAWorkloadThatIsMadeInMidRelease(t *testing.T) {
	b := newFixture(t, shop("podinfo", set{"app": "shop"}, set{"app": "shop"}))
	clk := clocktesting.NewFakePassiveClock(noon)
	b.manager.clock = clk
	b.canary.Status.Phase = flaggerv1.CanaryPhaseProgressing
	pod := func(deployment, hash string) *corev1.Pod {
		made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: deployment + "-" + hash + "-x", Labels: set{"app": "shop"}}}
		made.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
		made.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: "set", Controller: ptr.To(true)},
		}
		return made
	}
	b.must(b.c.Create(t.Context(), pod("podinfo", "5d4")))
	if p := b.observe(); p.Target.Shared {
		t.Fatalf("at first: %+v", p.Target)
	}
	clk.SetTime(noon.Add(podCheckInterval))
	if p := b.observe(); p.Target.Shared {
		t.Fatalf("its own pods: %+v", p.Target)
	}
	other := shop("exporter", set{"app": "shop"}, set{"app": "shop"})
	other.SetNamespace("test")
	b.must(b.c.Create(t.Context(), other))
	b.must(b.c.Create(t.Context(), pod("exporter", "77f")))
	clk.SetTime(noon.Add(2 * podCheckInterval))
	const alike, left = "pods of deployment exporter.test have all labels", "pod exporter-77f-x.test of ReplicaSet exporter-77f"
	for range 2 {
		if p := b.observe(); !p.Target.Shared || !p.Target.Stuck || !strings.Contains(p.Target.Why, alike) {
			t.Errorf("it runs: %+v", p.Target)
		}
	}
	b.must(b.c.Delete(t.Context(), other))
	if p := b.observe(); !p.Target.Shared || p.Target.Stuck || !strings.Contains(p.Target.Why, left) {
		t.Errorf("its pod is left: %+v", p.Target)
	}
	b.must(b.c.Delete(t.Context(), pod("exporter", "77f")))
	if p := b.observe(); p.Target.Shared {
		t.Errorf("it is gone: %+v", p.Target)
	}
}

// A StatefulSet was compared with nobody.
func TestAStatefulSetWhosePodsShareALabel(t *testing.T) {
	for name, tc := range map[string]struct {
		apex *corev1.Service // nil is that it is made
		want string
	}{
		"by the Service that is made": {
			want: "pods of deployment exporter.test have all labels that those of statefulset podinfo.test are selected by (app=podinfo)",
		},
		"not by a Service of theirs": {apex: selecting("podinfo", set{"app": "podinfo", "role": "db"})},
	} {
		t.Run(name, func(t *testing.T) {
			b := database(t, "ccc", nil)
			for _, object := range []client.Object{shop("exporter", set{"app": "podinfo"}, set{"app": "podinfo"})} {
				object.SetNamespace("test")
				b.must(b.c.Create(t.Context(), object))
			}
			if tc.apex != nil {
				tc.apex.Namespace = "test"
				b.must(b.c.Create(t.Context(), tc.apex))
			}
			_, err := b.manager.Observe(t.Context(), b.canary)
			if tc.want == "" {
				b.must(err)
				return
			}
			wantTerminal(t, err, tc.want)
		})
	}
}

// The primary of a canary was taken for a target: it was scaled to zero under its users.
func TestWhatACanaryMadeIsNoTarget(t *testing.T) {
	for name, tc := range map[string]struct {
		kind   string
		target client.Object
		want   string
	}{
		"another's primary": {
			"Deployment", ofCanary(shop("podinfo", set{"app": "a"}, set{"app": "a"}), "web"),
			"deployment podinfo.test was made by Canary web",
		},
		"its own": {
			"Deployment", ofCanary(shop("podinfo", set{"app": "a"}, set{"app": "a"}), "podinfo"),
			"deployment podinfo.test was made by Canary podinfo",
		},
		"another's Service": {"Service", ofCanary(selecting("podinfo", set{"app": "a"}), "web"), "service podinfo.test was made by Canary web"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, tc.target)
			b.canary.Spec.TargetRef.Kind = tc.kind
			_, err := b.manager.Observe(t.Context(), b.canary)
			wantTerminal(t, err, "spec.targetRef: "+tc.want)
		})
	}
}
