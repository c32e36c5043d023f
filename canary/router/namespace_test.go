// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

// A Canary of one namespace had the users of another's Service, by naming its host.
func TestACanaryIsKeptInItsNamespace(t *testing.T) {
	hosts := func(hosts ...string) func(*flaggerv1.CanarySpec) {
		return func(s *flaggerv1.CanarySpec) { s.Service.Hosts = hosts }
	}
	for name, tc := range map[string]struct {
		provider string
		edit     func(*flaggerv1.CanarySpec)
		want     string
	}{
		"a Service of another namespace": {
			"istio",
			hosts("payments.prod.svc.cluster.local"),
			"spec.service.hosts: payments.prod.svc.cluster.local",
		},
		"by its shorter name":               {"istio", hosts("payments.prod"), "spec.service.hosts: payments.prod"},
		"a namespace that begins like it":   {"istio", hosts("payments.staging-2.svc.cluster.local"), "spec.service.hosts"},
		"a name that hides it":              {"istio", hosts("staging.svc.prod.svc.cluster.local"), "spec.service.hosts"},
		"all hosts":                         {"istio", hosts("*"), "spec.service.hosts: *"},
		"a host of the world, for the mesh": {"istio", hosts("api.example.com"), "spec.service.hosts: api.example.com"},
		"a host of the world, for the mesh as well": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Hosts, s.Service.Gateways = []string{"api.example.com"}, []string{"staging/public", "mesh"}
		}, "spec.service.hosts"},
		"a host of the world, by a Gateway": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Hosts, s.Service.Gateways = []string{"api.example.com"}, []string{"staging/public"}
		}, ""},
		"a host of the world, by a Gateway for some and the mesh for others": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Hosts, s.Service.Gateways = []string{"api.example.com"}, []string{"public"}
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{Gateways: []string{"mesh"}}}
		}, "spec.service.hosts"},
		"a Gateway of another namespace": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Gateways = []string{"public", "edge/public"}
		}, "spec.service.gateways: Gateway edge/public"},
		"a Gateway of another namespace, by its old name": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Gateways = []string{"public.edge.svc.cluster.local"}
		}, "spec.service.gateways"},
		"a Gateway of another namespace, for some requests": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{Gateways: []string{"edge/public"}}}
		}, "spec.service.gateways"},
		"a Gateway of the Gateway API, which says whose routes it takes": {"gatewayapi:v1", func(s *flaggerv1.CanarySpec) {
			s.Service.GatewayRefs[0].Namespace = ptr.To(gatewayv1.Namespace("edge"))
		}, ""},
		"a site of a domain that a namespace is called as": {"istio", hosts("shop.com"), "spec.service.hosts: shop.com"},
		"Services of its own": {
			"istio",
			hosts("app", "app.staging", "app.staging.svc", "app.staging.svc.cluster.local", "*.staging.svc.cluster.local"),
			"",
		},
		"Linkerd":          {"linkerd", hosts("payments.prod.svc.cluster.local"), "spec.service.hosts"},
		"Linkerd, its own": {"linkerd", hosts("app.staging.svc.cluster.local"), ""},
		"an Upstream of another namespace": {"gloo", func(s *flaggerv1.CanarySpec) {
			s.UpstreamRef = &flaggerv1.CrossNamespaceObjectReference{Kind: "Upstream", Name: "tls", Namespace: "gloo-system"}
		}, "spec.upstreamRef.namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, confined := range []bool{true, false} {
				r, err := router.New(tc.provider, router.Deps{OwnNamespace: confined})
				must(t, err)
				c := contract.CanaryFor(tc.provider)
				if strings.HasPrefix(name, "a site of a domain") {
					c.Namespace = "com"
				}
				tc.edit(&c.Spec)
				err = r.Supports(c)
				refused := errors.Is(err, reconcile.TerminalError(nil)) && strings.Contains(err.Error(), tc.want) &&
					strings.Contains(err.Error(), "--no-cross-namespace-refs")
				if want := confined && tc.want != ""; want != refused || !want && err != nil {
					t.Errorf("confined is %t: %v", confined, err)
				}
			}
		})
	}
}
