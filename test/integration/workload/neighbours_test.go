// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// component is a Deployment of an application that has several.
func component(name string) *appsv1.Deployment {
	labels := map[string]string{"app": "shop", "component": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To(int64(0)),
			Containers: []corev1.Container{{
				Name:  "app",
				Image: name + ":1",
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			}}}}}}
}

// behind are the workloads whose pods a Service leads to.
func (w *testEnv) behind(service string) string {
	w.Helper()
	slices := &discoveryv1.EndpointSliceList{}
	w.must(w.c.List(w.Context(), slices, client.InNamespace(w.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service}))
	found := map[string]int{}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.TargetRef != nil {
				name := strings.Split(endpoint.TargetRef.Name, "-")
				found[strings.Join(name[:len(name)-2], "-")]++
			}
		}
	}
	return fmt.Sprint(found)
}

func (w *testEnv) leads(service, want string) {
	w.Helper()
	harness.MustEventually(w, service+" to lead to "+want, func(context.Context) (bool, string) {
		got := w.behind(service)
		return got == want, got
	})
}

// TestACanaryAmongItsNeighbours: components of one application share a label, the
// Service was there before, the canary gets another target, and goes.
func TestACanaryAmongItsNeighbours(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	existing := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, SessionAffinity: corev1.ServiceAffinityClientIP,
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
		Selector:              map[string]string{"app": "shop", "component": "web"},
		Ports: []corev1.ServicePort{
			{Name: "web", Port: 80, TargetPort: intstr.FromString("http")},
			{Name: "metrics", Port: 9100, TargetPort: intstr.FromInt32(9100)},
		}}}
	c := app("Deployment")
	c.Spec.TargetRef.Name, c.Spec.Service.TargetPort, c.Spec.RevertOnDeletion = "web", intstr.FromInt32(8080), true
	w.create(component("web"), component("worker"), existing)
	before := existing.DeepCopy()
	w.create(c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.leads("web", "map[web-primary:2]")
	w.get("web", existing)
	kept := existing.Spec.DeepCopy()
	kept.Selector, kept.Ports[0].TargetPort = before.Spec.Selector, before.Spec.Ports[0].TargetPort
	if diff := cmp.Diff(before.Spec, *kept); diff != "" {
		t.Errorf("lost on the way: %s", diff)
	}
	d := &appsv1.Deployment{}
	w.released(func() { w.edit("web", d, func() { d.Spec.Template.Spec.Containers[0].Image = "web:2" }) }, flaggerv1.CanaryPhaseSucceeded)

	w.edit("app", c, func() { c.Spec.TargetRef.Name, c.Spec.Service.Name = "worker", "web" })
	harness.MustEventually(w, "the other target to be taken up", func(context.Context) (bool, string) {
		w.get("app", c)
		return c.Status.Target == "Deployment/worker" &&
			c.Status.Phase == flaggerv1.CanaryPhaseInitialized, fmt.Sprintf("%s %s", c.Status.Target, c.Status.Phase)
	})
	w.leads("web", "map[worker-primary:2]")
	w.get("worker-primary", d)
	if got := d.Spec.Template.Spec.Containers[0].Image; got != "worker:1" {
		t.Errorf("users of the worker get %s", got)
	}
	w.must(w.c.Delete(t.Context(), c))
	harness.MustEventually(w, "the canary to be gone", func(context.Context) (bool, string) {
		err := w.c.Get(t.Context(), w.key("app"), c)
		return apierrors.IsNotFound(err), fmt.Sprint(c.Status.Phase, err)
	})
	w.get("web", existing)
	if diff := cmp.Diff(before.Spec, existing.Spec); diff != "" || len(existing.Annotations) > 0 {
		t.Errorf("not restored: %s %v", diff, existing.Annotations)
	}
}

// TestAReleaseWithoutQuotaSaysSo, as does one whose Deployment is paused.
func TestAReleaseWithoutQuotaSaysSo(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	d := component("app")
	d.Spec.Replicas = ptr.To(int32(1))
	w.create(&corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "pods"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{}},
	}, d, app("Deployment"))
	w.phase(flaggerv1.CanaryPhaseInitialized)
	quota := &corev1.ResourceQuota{}
	w.edit("pods", quota, func() { quota.Spec.Hard = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")} })
	harness.MustEventually(w, "the quota to count", func(context.Context) (bool, string) {
		w.get("pods", quota)
		return len(quota.Status.Used) > 0, fmt.Sprint(quota.Status)
	})
	says := func(want string) {
		w.Helper()
		c := &flaggerv1.Canary{}
		harness.MustEventually(w, "the canary to say "+want, func(context.Context) (bool, string) {
			w.get("app", c)
			said := fmt.Sprint(c.Status.Conditions)
			return strings.Contains(said, want), said
		})
	}
	w.edit("app", d, func() { d.Spec.Template.Spec.Containers[0].Image, d.Spec.Paused = "app:2", true })
	says("Deployment is paused (spec.paused)")
	w.edit("app", d, func() { d.Spec.Paused = false })
	says("ReplicaFailure: pods \"app-")
	w.edit("pods", quota, func() { quota.Spec.Hard = nil })
	w.phase(flaggerv1.CanaryPhaseSucceeded)
}
