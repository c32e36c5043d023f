// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestWhoImplementsTheGatewayAPI(t *testing.T) {
	for name, tc := range map[string]struct{ controller, parent, product, reporter string }{
		"a name":                          {"traefik.io/gateway-controller", "Gateway", "Traefik", ""},
		"a name that an installation has": {"projectcontour.io/team-a", "Gateway", "Contour", ""},
		"gateways of Istio":               {"istio.io/gateway-controller", "Gateway", "Istio", "source|waypoint"},
		"the mesh of Istio":               {"istio.io/gateway-controller", "Service", "Istio", "destination|waypoint"},
		"Istio by its name in OpenShift":  {"openshift.io/gateway-controller/v1", "Gateway", "Istio", "source|waypoint"},
		"a name that only begins so":      {"traefik.io/gateway-controller-2", "Gateway", "", ""},
		"a domain that only begins so":    {"projectcontour.io.example.com/x", "Gateway", "", ""},
		"nobody":                          {"", "Gateway", "", ""},
	} {
		got, ok := ImplementedBy(tc.controller, tc.parent)
		if got.Product != tc.product || got.Queries.Reporter != tc.reporter || ok != (tc.product != "") {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
	}
}

func TestEveryImplementationIsWhole(t *testing.T) {
	for _, by := range Implementations() {
		if by.Product == "" || len(by.Controllers) == 0 || by.Needs == "" || by.Queries.Names != Verbatim {
			t.Errorf("%+v lacks something", by)
		}
		for _, name := range by.Controllers {
			if found, _ := ImplementedBy(name, by.Parent); found.Product != by.Product || !strings.Contains(name, "/") {
				t.Errorf("%s is not found by %s", by.Product, name)
			}
		}
		if backend := by.Queries.Backend; backend != "" && !strings.Contains(backend, "{{ service }}-{{ arm }}") {
			t.Errorf("%s: %s is the Service of no arm", by.Product, backend)
		}
	}
}

func TestWhichRouteHasTheWeights(t *testing.T) {
	for name, tc := range map[string]struct {
		spec    flaggerv1.CanarySpec
		version string
		want    string
	}{
		"one that is made": {flaggerv1.CanarySpec{}, "v1beta1", "v1beta1 HTTPRoute podinfo"},
		"one that is called after the Service": {
			flaggerv1.CanarySpec{Service: flaggerv1.CanaryService{Name: "web", RouteKind: GRPCRoute}}, "v1beta1", "v1 GRPCRoute web",
		},
		"the owner's": {
			flaggerv1.CanarySpec{HTTPRouteRef: &flaggerv1.LocalObjectReference{Name: "site"}}, "v1beta1", "v1beta1 HTTPRoute site",
		},
		"the owner's of another kind": {
			flaggerv1.CanarySpec{HTTPRouteRef: &flaggerv1.LocalObjectReference{Kind: GRPCRoute, Name: "calls"}}, "v1", "v1 GRPCRoute calls",
		},
	} {
		tc.spec.TargetRef.Name = "podinfo"
		kind, route := Route(&flaggerv1.Canary{Spec: tc.spec}, tc.version)
		if got := kind.Version + " " + kind.Kind + " " + route; got != tc.want || kind.Group != "gateway.networking.k8s.io" {
			t.Errorf("%s: got %s of %s", name, got, kind.Group)
		}
	}
}
