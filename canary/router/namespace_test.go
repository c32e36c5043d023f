// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

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
			s.Service.Hosts, s.Service.Gateways = []string{"api.example.com"}, []string{"edge/public", "mesh"}
		}, "spec.service.hosts"},
		"a host of the world, by a Gateway": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Service.Hosts, s.Service.Gateways = []string{"api.example.com"}, []string{"edge/public"}
		}, ""},
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
