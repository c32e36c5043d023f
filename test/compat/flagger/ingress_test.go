// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// onNGINX is a story whose users come through ingress-nginx, which is told of the
// canary by annotations of a second Ingress.
func onNGINX(s *story) {
	const prefix = "nginx.ingress.kubernetes.io/canary"
	header := func(object *unstructured.Unstructured) bool {
		return object.GetAnnotations()[prefix+"-by-header"] != ""
	}
	s.route = &route{
		apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: s.ingress + "-canary", chosen: header,
		read: func(object *unstructured.Unstructured, _ string) int {
			if header(object) {
				return 100
			}
			weight, _ := strconv.Atoi(object.GetAnnotations()[prefix+"-weight"])
			return weight
		},
	}
}

func TestNGINXCanary(t *testing.T) {
	s := tell(t, "e2e-nginx", onNGINX)
	s.apply("deployment.yaml")
	s.apply("nginx-ingress.yaml")
	s.apply("nginx-canary.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1", 20, 40)
	s.apply("nginx-ingress.yaml") // what its owner applies again is taken

	s.abTest(3, "x-user")
	s.load("hey -z 30s -q 10 -c 2 -H 'x-user: insider' -host app." + s.ns + ".example.com http://ingress-nginx-controller.ingress-nginx")
	s.promotes("podinfo:6.0.2", 100)
	s.said("Advance podinfo." + s.ns + " canary iteration 3/3")
}

// abTest makes the Canary one that chooses its users by a header.
func (s *story) abTest(iterations int, header string) {
	s.Helper()
	s.edit(func(c *flaggerv1.Canary) {
		a := c.Spec.Analysis
		a.StepWeight, a.MaxWeight, a.Iterations, a.Threshold = 0, 0, iterations, 5
		a.Match = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{header: {Exact: "insider"}}}}
	})
}

// TestNGINXLifecycle fails, goes back, fails once more and mends.
func TestNGINXLifecycle(t *testing.T) {
	s := tell(t, "e2e-nginx-lifecycle", onNGINX)
	s.apply("deployment.yaml")
	s.apply("nginx-ingress.yaml")
	s.apply("nginx-lifecycle.yaml")
	s.initialized()
	s.rollsBack("podinfo:6.0.1")

	before, _ := s.workload("podinfo-primary")
	s.release("podinfo:6.0.0")
	s.until("the revert to be seen", func() bool {
		return apimeta.IsStatusConditionTrue(s.canary().GetConditions(), meta.ReadyCondition)
	})
	after, _ := s.workload("podinfo-primary")
	if phase := s.canary().Status.Phase; phase != flaggerv1.CanaryPhaseFailed || before.GetGeneration() != after.GetGeneration() {
		t.Errorf("the revert began an analysis: phase %s, generation %d, was %d", phase, after.GetGeneration(), before.GetGeneration())
	}

	s.rollsBack("podinfo:6.0.1")
	s.load("hey -z 30s -q 10 -c 2 -host app." + s.ns + ".example.com http://ingress-nginx-controller.ingress-nginx/")
	s.edit(func(c *flaggerv1.Canary) { c.Spec.Analysis.Threshold = 5 })
	s.release("podinfo:6.0.1", "thisis", "theway")
	s.promoted("podinfo:6.0.1", 20, 40)
}

func TestSkipperCanary(t *testing.T) {
	s := tell(t, "e2e-skipper", func(s *story) {
		s.service, s.ingress = "podinfo-service", "podinfo-ingress"
		s.route = &route{
			apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: "podinfo-ingress-canary",
			read: func(object *unstructured.Unstructured, canary string) int {
				var weights map[string]int
				if err := json.Unmarshal([]byte(object.GetAnnotations()["zalando.org/backend-weights"]), &weights); err != nil {
					return -1
				}
				return weights[canary]
			},
		}
	})
	s.apply("deployment.yaml")
	s.apply("skipper.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
}

func TestTraefikCanary(t *testing.T) {
	s := tell(t, "e2e-traefik", on("traefik.io/v1alpha1", "TraefikService", "podinfo"))
	s.apply("deployment.yaml")
	s.apply("traefik.yaml")
	s.initialized()
	live := s.object()
	if live.GetLabels()["test"] != "test-label" || live.GetAnnotations()["test"] != "test-annotation" {
		t.Errorf("labels %v, annotations %v", live.GetLabels(), live.GetAnnotations())
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50, 60)
}

// on is a story whose users are split by weights in an object.
func on(apiVersion, kind, name string) func(*story) {
	return func(s *story) { s.route = &route{apiVersion: apiVersion, kind: kind, name: name} }
}

// object is the one that splits users.
func (s *story) object() *unstructured.Unstructured {
	s.Helper()
	live := &unstructured.Unstructured{}
	live.SetAPIVersion(s.route.apiVersion)
	live.SetKind(s.route.kind)
	s.get(s.route.name, live)
	return live
}

func TestContourCanary(t *testing.T) {
	s := tell(t, "e2e-contour", func(s *story) {
		on("projectcontour.io/v1", "HTTPProxy", "podinfo")(s)
		s.route.chosen = func(object *unstructured.Unstructured) bool {
			routes, _, _ := unstructured.NestedSlice(object.Object, "spec", "routes")
			return len(routes) > 1
		}
	})
	s.apply("deployment.yaml")
	s.apply("contour.yaml")
	s.initialized()
	if class, _, _ := unstructured.NestedString(s.object().Object, "spec", "ingressClassName"); class != "contour" {
		t.Errorf("ingress class %q", class)
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)

	s.load("hey -z 10s -q 5 -c 2 -host app." + s.ns + ".example.com http://envoy.projectcontour/delay/1")
	s.edit(func(c *flaggerv1.Canary) { c.Spec.Analysis.Threshold = 3 })
	s.rollsBack("podinfo:6.0.2")

	s.abTest(5, "x-canary")
	s.load("hey -z 30s -q 5 -c 2 -H 'X-Canary: insider' -host app." + s.ns + ".example.com http://envoy.projectcontour")
	s.promotes("podinfo:6.0.3", 100)
}

func TestGlooCanary(t *testing.T) {
	s := tell(t, "e2e-gloo", func(s *story) {
		on("gateway.solo.io/v1", "RouteTable", "podinfo")(s)
		s.route.chosen = func(object *unstructured.Unstructured) bool {
			routes, _, _ := unstructured.NestedSlice(object.Object, "spec", "routes")
			return len(routes) > 1
		}
	})
	s.apply("deployment.yaml")
	s.apply("gloo.yaml")
	s.initialized()
	s.until("the Upstream's settings", func() bool {
		requests, _, _ := unstructured.NestedInt64(s.upstream("canary"), "spec", "connectionConfig", "maxRequestsPerConnection")
		return requests == 51
	})
	config := s.unstructured("gloo.solo.io/v1", "Upstream", "config-upstream")
	patch := `[{"op": "replace", "path": "/spec/loadBalancerConfig/roundRobin/slowStartConfig/minWeightPercent", "value": 20}]`
	if err := the.Client.Patch(t.Context(), config, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"primary", "canary"} {
		s.until("the new settings of the "+which, func() bool {
			percent, _, _ := unstructured.NestedInt64(s.upstream(which),
				"spec", "loadBalancerConfig", "roundRobin", "slowStartConfig", "minWeightPercent")
			return percent == 20
		})
	}
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)

	s.abTest(5, "x-canary")
	s.load("hey -z 30s -q 5 -c 2 -H 'X-Canary: insider' -host app." + s.ns + ".example.com http://gateway-proxy.gloo-system")
	s.promotes("podinfo:6.0.2", 100)
}

// upstream is Gloo's, of a copy.
func (s *story) upstream(which string) map[string]any {
	s.Helper()
	return s.unstructured("gloo.solo.io/v1", "Upstream", s.ns+"-podinfo-"+which+"upstream-80").Object
}

func (s *story) unstructured(apiVersion, kind, name string) *unstructured.Unstructured {
	s.Helper()
	live := &unstructured.Unstructured{}
	live.SetAPIVersion(apiVersion)
	live.SetKind(kind)
	s.get(name, live)
	return live
}

func TestAPISIXCanary(t *testing.T) {
	s := tell(t, "e2e-apisix", on("apisix.apache.org/v2", "ApisixRoute", "podinfo-podinfo-canary"))
	s.apply("deployment.yaml")
	s.apply("apisix.yaml")
	s.initialized()
	before := s.unstructured("apisix.apache.org/v2", "ApisixRoute", "podinfo")
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)
	if diff := cmp.Diff(before, s.unstructured("apisix.apache.org/v2", "ApisixRoute", "podinfo")); diff != "" {
		t.Errorf("the owner's route was touched (-before +after):\n%s", diff)
	}
}
