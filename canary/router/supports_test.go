// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

func TestSupportsNamesTheFieldItCannotHonour(t *testing.T) {
	cases := map[string]struct {
		provider string
		edit     func(*flaggerv1.CanarySpec)
		want     string
	}{
		"Services cannot mirror": {"kubernetes", func(s *flaggerv1.CanarySpec) { s.Analysis.Mirror = true }, "spec.analysis.mirror"},
		"Services have no hosts": {
			"kubernetes",
			func(s *flaggerv1.CanarySpec) { s.Service.Hosts = []string{"a.example.com"} },
			"spec.service.hosts",
		},
		"Services belong to no Gateway": {
			"kubernetes",
			func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = make([]gatewayv1.ParentReference, 1) },
			"spec.service.gatewayRefs",
		},
		"a route needs a Gateway":        {gatewayV1, func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = nil }, "spec.service.gatewayRefs"},
		"a route's timeout has a syntax": {gatewayV1, func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "1.5s" }, "spec.service.timeout"},
		"a route's backend timeout, too": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.BackendTimeout = "soon" },
			"spec.service.backendTimeout",
		},
		"a route has no retries": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.Retries = &flaggerv1.HTTPRetry{} },
			"spec.service.retries",
		},
		"Istio gateways are not Gateways": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.Gateways = []string{"mesh"} },
			"spec.service.gateways",
		},
		"a traffic policy is Istio's": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.TrafficPolicy = &runtime.RawExtension{} },
			"spec.service.trafficPolicy",
		},
		"a CORS origin is no pattern": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.CorsPolicy = &flaggerv1.CorsPolicy{AllowOrigins: []*flaggerv1.StringMatch{{}}}
		}, "spec.service.corsPolicy.allowOrigins"},
		"a CORS age is a duration": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.CorsPolicy = &flaggerv1.CorsPolicy{MaxAge: "1d"} },
			"spec.service.corsPolicy.maxAge",
		},
		"a header is matched exactly or by regex": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{"h": {Suffix: "x"}}}}
		}, "spec.service.match[0].headers[h]"},
		"a source label is Istio's": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{}, {SourceLabels: map[string]string{"a": "b"}}}
		}, "spec.analysis.match[1].sourceLabels"},
		"only a prefix can be replaced": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Rewrite = &flaggerv1.HTTPRewrite{URI: "/", Type: "ReplacePrefixMatch"}
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Prefix: "/v1"}}, {URI: &flaggerv1.StringMatch{Exact: "/v2"}}}
		}, "spec.service.rewrite.type"},
		"only a prefix can be replaced for chosen users": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Rewrite = &flaggerv1.HTTPRewrite{URI: "/", Type: "ReplacePrefixMatch"}
			s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Regex: "/v[0-9]"}}}
		}, "spec.service.rewrite.type"},
		"a route has so many rules": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Rewrite = &flaggerv1.HTTPRewrite{URI: "/", Type: "ReplacePrefixMatch"}
			for i := range 17 {
				s.Service.Match = append(s.Service.Match, flaggerv1.HTTPMatchRequest{URI: &flaggerv1.StringMatch{Prefix: fmt.Sprintf("/v%d", i)}})
			}
		}, "spec.service.match"},
		"a rule has so many matches": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			for i := range 9 {
				s.Service.Match = append(s.Service.Match, flaggerv1.HTTPMatchRequest{URI: &flaggerv1.StringMatch{Prefix: fmt.Sprintf("/v%d", i)}})
				header := map[string]flaggerv1.StringMatch{fmt.Sprintf("h%d", i): {Exact: "x"}}
				s.Analysis.Match = append(s.Analysis.Match, flaggerv1.HTTPMatchRequest{Headers: header})
			}
		}, "spec.service.match"},
		"one try is no longer than all": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.Timeout, s.Service.BackendTimeout = "5s", "1m" },
			"spec.service.backendTimeout",
		},
		"a path has no suffix": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Suffix: "x"}}}
		}, "spec.service.match[0].uri"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, tc.provider, tc.edit, tc.want)
		})
	}
}

func TestSupportsWithoutAnalysis(t *testing.T) {
	for _, name := range provider.Names() {
		c := contract.CanaryFor(name)
		c.Spec.Analysis = nil
		r, err := router.New(name, router.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Supports(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantRefused fails unless a router refuses an edit of a Canary for good, and names the field.
func wantRefused(t *testing.T, provider string, edit func(*flaggerv1.CanarySpec), field string) {
	t.Helper()
	c := contract.CanaryFor(provider)
	edit(&c.Spec)
	r, err := router.New(provider, router.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Supports(c)
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), field+":") {
		t.Errorf("want a terminal error about %s, got %v", field, err)
	}
}
