// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

const istioVersion = "networking.istio.io/v1beta1"

// onIstio is a story whose users are split by a VirtualService.
func onIstio(s *story) {
	on(istioVersion, "VirtualService", s.service)(s)
	s.route.chosen = func(object *unstructured.Unstructured) bool {
		rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "http")
		return len(rules) > 1
	}
}

// TestIstioCanary goes through all ways to release, one after the other, and ends
// as if there had been no Canary.
func TestIstioCanary(t *testing.T) {
	s := tell(t, "e2e-istio", onIstio)
	s.apply("deployment.yaml")
	s.apply("istio-canary.yaml")
	s.initialized()
	apex := &corev1.Service{}
	s.get("podinfo", apex)
	if apex.Annotations["test"] != "annotations-test" || apex.Labels["test"] != "labels-test" {
		t.Errorf("annotations %v, labels %v", apex.Annotations, apex.Labels)
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30)
	rules, _, _ := unstructured.NestedSlice(s.object().Object, "spec", "http")
	added, _, _ := unstructured.NestedStringMap(rules[0].(map[string]any), "headers", "request", "add")
	if diff := cmp.Diff(map[string]string{
		"x-envoy-upstream-rq-timeout-ms": "15000", "x-envoy-max-retries": "10",
		"x-envoy-retry-on": "gateway-error,connect-failure,refused-stream",
	}, added); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}

	s.apply("istio-bg.yaml")
	s.promotes("podinfo:6.0.2", 100)

	s.apply("istio-ab.yaml")
	s.promotes("podinfo:6.0.3", 100)
	s.said("Confirm-promotion check", "Post-rollout check post passed")

	s.edit(func(c *flaggerv1.Canary) { c.Spec.RevertOnDeletion = true })
	s.reverts(s.targetServes)
}

func (s *story) targetServes() bool {
	d := &appsv1.Deployment{}
	s.get(s.target, d)
	return d.Status.AvailableReplicas == 1
}

// TestIstioGivesBackWhatWasThere has a Service and a VirtualService before the
// Canary, and wants them back after it.
func TestIstioGivesBackWhatWasThere(t *testing.T) {
	s := tell(t, "e2e-istio-back", onIstio)
	s.apply("deployment.yaml")
	s.apply("istio-before.yaml")
	before := s.object()
	s.apply("istio-canary.yaml")
	s.apply("istio-ab.yaml")
	s.edit(func(c *flaggerv1.Canary) { c.Spec.RevertOnDeletion = true })
	s.initialized()
	s.reverts(s.targetServes)
	if diff := cmp.Diff(before.Object["spec"], s.object().Object["spec"]); diff != "" {
		t.Errorf("VirtualService (-before +after):\n%s", diff)
	}
	apex := &corev1.Service{}
	s.get("podinfo", apex)
	if diff := cmp.Diff(map[string]string{"app": "podinfo"}, apex.Spec.Selector); diff != "" {
		t.Errorf("selector (-before +after):\n%s", diff)
	}
}

func TestIstioDelegation(t *testing.T) {
	s := tell(t, "e2e-istio-delegation", onIstio)
	s.apply("deployment.yaml")
	s.apply("istio-delegation.yaml")
	s.initialized()
	for _, field := range []string{"hosts", "gateways"} {
		if values, _, _ := unstructured.NestedSlice(s.object().Object, "spec", field); len(values) > 0 {
			t.Errorf("a delegate has no %s: %v", field, values)
		}
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30)
}

// TestIstioSkipAnalysis promotes what is ready, sends no users to what is not
// promoted, and fails what never becomes ready.
func TestIstioSkipAnalysis(t *testing.T) {
	s := tell(t, "e2e-istio-skip", onIstio)
	s.apply("deployment.yaml")
	s.apply("istio-skip-analysis.yaml")
	s.initialized()
	s.release("podinfo:6.0.1")
	s.until("the promotion", func() bool { return s.image("podinfo-primary") == "podinfo:6.0.1" })
	s.phase(flaggerv1.CanaryPhaseSucceeded)
	s.atRest()
	s.release("potato:1.0.0", "playground.sluice.dev/waiting", "ImagePullBackOff")
	s.phase(flaggerv1.CanaryPhaseFailed)
	s.atRest()
	if got := s.image("podinfo-primary"); got != "podinfo:6.0.1" {
		t.Errorf("the primary runs %s", got)
	}
	primary := &appsv1.Deployment{}
	s.get("podinfo-primary", primary)
	if primary.Status.AvailableReplicas != 1 {
		t.Errorf("the primary has %d pods", primary.Status.AvailableReplicas)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.weights) > 0 {
		t.Errorf("users were on the canary: %v", s.weights)
	}
}

// TestKumaCanary has a route that belongs to the cluster.
func TestKumaCanary(t *testing.T) {
	s := tell(t, "e2e-kuma", on("kuma.io/v1alpha1", "TrafficRoute", "podinfo"))
	t.Cleanup(func() {
		live := &unstructured.Unstructured{}
		live.SetAPIVersion(s.route.apiVersion)
		live.SetKind(s.route.kind)
		live.SetName(s.route.name)
		if err := client.IgnoreNotFound(the.Client.Delete(context.Background(), live)); err != nil {
			t.Error(err)
		}
	})
	s.apply("deployment.yaml")
	s.apply("kuma.yaml")
	s.initialized()
	for _, name := range []string{"podinfo", "podinfo-primary", "podinfo-canary"} {
		service := &corev1.Service{}
		s.get(name, service)
		if service.Annotations["9898.service.kuma.io/protocol"] != "http" {
			t.Errorf("annotations of %s: %v", name, service.Annotations)
		}
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)

	s.load("hey -z 10s -q 10 -c 2 http://podinfo." + s.ns + ":9898/status/500")
	s.rollsBack("podinfo:6.0.2")
}

// TestLinkerdCanary has an HTTPRoute whose parent is the apex Service.
func TestLinkerdCanary(t *testing.T) {
	s := tell(t, "e2e-linkerd", onLinkerd)
	s.apply("deployment.yaml")
	s.apply("linkerd.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)

	s.load("hey -z 10s -q 10 -c 2 http://podinfo." + s.ns + "/status/500")
	s.rollsBack("podinfo:6.0.2")
}

func onLinkerd(s *story) { on("gateway.networking.k8s.io/v1beta1", "HTTPRoute", s.service)(s) }

// TestLinkerdSteps stops where stepWeights do: maxWeight is that of stepWeight.
func TestLinkerdSteps(t *testing.T) {
	s := tell(t, "e2e-linkerd-steps", onLinkerd)
	s.apply("deployment.yaml")
	s.apply("linkerd.yaml")
	s.edit(func(c *flaggerv1.Canary) {
		c.Spec.Analysis.StepWeight, c.Spec.Analysis.StepWeights = 0, []int{10, 20, 30, 40, 50, 60}
	})
	s.initialized()
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50, 60)
}
