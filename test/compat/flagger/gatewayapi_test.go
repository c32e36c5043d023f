// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// onHTTPRoute is a story whose users come through the Gateway API.
func onHTTPRoute(s *story) {
	s.route = &route{
		apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", name: s.service,
		chosen: func(object *unstructured.Unstructured) bool {
			rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "rules")
			return len(rules) > 1
		},
	}
}

func TestGatewayAPICanary(t *testing.T) {
	s := tell(t, "e2e-gatewayapi", onHTTPRoute)
	s.apply("deployment.yaml")
	s.apply("gatewayapi-templates.yaml")
	s.apply("gatewayapi-canary.yaml")
	s.initialized()
	s.httpRoute("podinfo-primary=100 podinfo-canary=0")
	s.promotes("podinfo:6.0.1", 10, 20, 30, 40, 50)
	s.httpRoute("podinfo-primary=100 podinfo-canary=0")

	s.load("hey -z 30s -q 10 -c 2 -host www." + s.ns + ".example.com http://gateway-istio.istio-ingress/status/500")
	s.rollsBack("podinfo:6.0.2")
	s.said("Canary failed! Scaling down podinfo." + s.ns)
}

// httpRoute compares where the HTTPRoute belongs and where it leads.
func (s *story) httpRoute(want string) {
	s.Helper()
	live := &gatewayv1.HTTPRoute{}
	s.get(s.service, live)
	if diff := cmp.Diff([]gatewayv1.Hostname{gatewayv1.Hostname("www." + s.ns + ".example.com")}, live.Spec.Hostnames); diff != "" {
		s.Errorf("hostnames (-want +got):\n%s", diff)
	}
	if live.Spec.ParentRefs[0].Name != "gateway" || *live.Spec.ParentRefs[0].Namespace != "istio-ingress" {
		s.Errorf("parents: %+v", live.Spec.ParentRefs)
	}
	got := ""
	for i, backend := range live.Spec.Rules[0].BackendRefs {
		if i > 0 {
			got += " "
		}
		got += fmt.Sprintf("%s=%d", backend.Name, *backend.Weight)
	}
	if got != want {
		s.Errorf("backends %s, want %s", got, want)
	}
}

// TestGatewayAPIBlueGreen has users on the canary only between the last iteration
// and the end of the promotion.
func TestGatewayAPIBlueGreen(t *testing.T) {
	s := tell(t, "e2e-gatewayapi-bg", onHTTPRoute)
	s.apply("deployment.yaml")
	s.apply("gatewayapi-templates.yaml")
	s.apply("gatewayapi-bg.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1", 100)
	s.said("Advance podinfo."+s.ns+" canary iteration 1/5", "Advance podinfo."+s.ns+" canary iteration 5/5", "Routing all traffic to canary")
}

func TestGatewayAPIABTest(t *testing.T) {
	s := tell(t, "e2e-gatewayapi-ab", onHTTPRoute)
	s.apply("deployment.yaml")
	s.apply("gatewayapi-templates.yaml")
	s.apply("gatewayapi-ab.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1", 100)
	s.said("Advance podinfo." + s.ns + " canary iteration 10/10")
}
