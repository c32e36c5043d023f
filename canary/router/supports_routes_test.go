// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/contract"
)

func TestRoutesNameTheFieldTheyCannotHonour(t *testing.T) {
	cases := map[string]struct {
		provider string
		edit     func(*flaggerv1.CanarySpec)
		want     string
	}{
		"users of an A/B test are not bound": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Analysis.Match, s.Analysis.SessionAffinity = contract.Insider, &flaggerv1.SessionAffinity{CookieName: "a"}
		}, "spec.analysis.sessionAffinity"},
		"a cookie has a name": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a;b"}
		}, "spec.analysis.sessionAffinity.cookieName"},
		"two cookies have two names": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a", PrimaryCookieName: "a"}
		}, "spec.analysis.sessionAffinity.primaryCookieName"},
		"the primary's cookie has a name": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a", PrimaryCookieName: "b c"}
		}, "spec.analysis.sessionAffinity.primaryCookieName"},
		"a cookie's domain smuggles no attribute": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a", Domain: "b; Secure"}
		}, "spec.analysis.sessionAffinity.domain"},
		"a cookie's path smuggles no header": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a", Path: "/\r\nX: y"}
		}, "spec.analysis.sessionAffinity.path"},
		"there is one Set-Cookie to add": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a"}
			s.Service.Headers = &flaggerv1.Headers{Response: &flaggerv1.HeaderOperations{Add: map[string]string{"set-cookie": "x"}}}
		}, "spec.service.headers.response.add[Set-Cookie]"},
		"a share is a percentage": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Analysis.MirrorWeight = 101 },
			"spec.analysis.mirrorWeight",
		},
		"a share is a percentage with Istio": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Analysis.MirrorWeight = -1 },
			"spec.analysis.mirrorWeight",
		},
		"a path is rewritten in two ways": {gatewayV1, func(s *flaggerv1.CanarySpec) {
			s.Service.Rewrite = &flaggerv1.HTTPRewrite{URI: "/", Type: "Regex"}
		}, "spec.service.rewrite.type"},
		"there are two kinds of routes": {
			gatewayV1,
			func(s *flaggerv1.CanarySpec) { s.Service.RouteKind = "TCPRoute" },
			"spec.service.routeKind",
		},
		"only Gateway API has kinds of routes": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.RouteKind = "GRPCRoute" },
			"spec.service.routeKind",
		},
		"a GRPCRoute has no timeout": {gatewayV1, grpc(func(s *flaggerv1.CanaryService) { s.Timeout = "1s" }), "spec.service.timeout"},
		"a GRPCRoute has no backend timeout": {
			gatewayV1,
			grpc(func(s *flaggerv1.CanaryService) { s.BackendTimeout = "1s" }),
			"spec.service.backendTimeout",
		},
		"a GRPCRoute rewrites nothing": {
			gatewayV1,
			grpc(func(s *flaggerv1.CanaryService) { s.Rewrite = &flaggerv1.HTTPRewrite{} }),
			"spec.service.rewrite",
		},
		"a GRPCRoute has no CORS": {
			gatewayV1,
			grpc(func(s *flaggerv1.CanaryService) { s.CorsPolicy = &flaggerv1.CorsPolicy{} }),
			"spec.service.corsPolicy",
		},
		"a GRPCRoute matches calls": {
			gatewayV1,
			grpc(matching(flaggerv1.HTTPMatchRequest{URI: &flaggerv1.StringMatch{Prefix: "/a/b/c"}})),
			"spec.service.match[0].uri",
		},
		"a GRPCRoute matches no path by regex": {
			gatewayV1,
			grpc(matching(flaggerv1.HTTPMatchRequest{URI: &flaggerv1.StringMatch{Regex: "/a.*"}})),
			"spec.service.match[0].uri",
		},
		"a GRPCRoute matches no HTTP method": {
			gatewayV1,
			grpc(matching(flaggerv1.HTTPMatchRequest{Method: &flaggerv1.StringMatch{Exact: "GET"}})),
			"spec.service.match[0].method",
		},
		"a GRPCRoute matches no query": {
			gatewayV1,
			grpc(matching(flaggerv1.HTTPMatchRequest{QueryParams: map[string]flaggerv1.StringMatch{"a": {Exact: "b"}}})),
			"spec.service.match[0].queryParams",
		},
		"a GRPCRoute matches no header prefix": {
			gatewayV1,
			grpc(matching(flaggerv1.HTTPMatchRequest{Headers: map[string]flaggerv1.StringMatch{"a": {Prefix: "b"}}})),
			"spec.service.match[0].headers[a]",
		},
		"an own route is of two kinds": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.HTTPRouteRef.Kind = "TCPRoute" }),
			"spec.httpRouteRef.kind",
		},
		"an own route is of the Gateway API": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.HTTPRouteRef.APIVersion = "example.com/v1" }),
			"spec.httpRouteRef.apiVersion",
		},
		"an own route has its own Gateways": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = make([]gatewayv1.ParentReference, 1) }),
			"spec.service.gatewayRefs",
		},
		"an own route has its own matches": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.Service.Match = contract.Insider }),
			"spec.service.match",
		},
		"an own route says its kind itself": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.Service.RouteKind = "HTTPRoute" }),
			"spec.service.routeKind",
		},
		"an own route binds no users": {gatewayV1, own(func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a"}
		}), "spec.analysis.sessionAffinity"},
		"an own route is matched as any": {
			gatewayV1,
			own(func(s *flaggerv1.CanarySpec) { s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{Port: 80}} }),
			"spec.analysis.match[0].port",
		},
		"Istio has no own route": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.HTTPRouteRef = &flaggerv1.LocalObjectReference{Name: "a"} },
			"spec.httpRouteRef",
		},
		"Istio has no Gateway API": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = make([]gatewayv1.ParentReference, 1) },
			"spec.service.gatewayRefs",
		},
		"Istio has one timeout": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.BackendTimeout = "1s" },
			"spec.service.backendTimeout",
		},
		"a delegate has no hosts": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.Delegation, s.Service.Hosts = true, []string{"a"} },
			"spec.service.hosts",
		},
		"a delegate has no gateways": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.Delegation, s.Service.Gateways = true, []string{"a"} },
			"spec.service.gateways",
		},
		"Istio rewrites what matched": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.Rewrite = &flaggerv1.HTTPRewrite{Type: "ReplacePrefixMatch"} },
			"spec.service.rewrite.type",
		},
		"a traffic policy is an object": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.TrafficPolicy = &runtime.RawExtension{Raw: []byte(`[]`)} },
			"spec.service.trafficPolicy",
		},
		"an Istio timeout is a duration": {"istio", func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "soon" }, "spec.service.timeout"},
		"an Istio retry timeout, too": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.Retries = &flaggerv1.HTTPRetry{PerTryTimeout: "0s"} },
			"spec.service.retries.perTryTimeout",
		},
		"an Istio CORS age, too": {
			"istio",
			func(s *flaggerv1.CanarySpec) { s.Service.CorsPolicy = &flaggerv1.CorsPolicy{MaxAge: "1d"} },
			"spec.service.corsPolicy.maxAge",
		},
		"Istio would match anything for suffix": {"istio", func(s *flaggerv1.CanarySpec) {
			matching(flaggerv1.HTTPMatchRequest{Headers: map[string]flaggerv1.StringMatch{"a": {Suffix: "b"}}})(&s.Service)
		}, "spec.service.match[0].headers[a].suffix"},
		"also in an A/B test": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Suffix: "b"}}}
		}, "spec.analysis.match[0].uri.suffix"},
		"connections choose no users": {
			"istio",
			tcp(func(s *flaggerv1.CanarySpec) { s.Analysis.Match = contract.Insider }),
			"spec.analysis.match",
		},
		"connections are not mirrored": {"istio", tcp(func(s *flaggerv1.CanarySpec) { s.Analysis.Mirror = true }), "spec.analysis.mirror"},
		"connections have no cookies": {"istio", tcp(func(s *flaggerv1.CanarySpec) {
			s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "a"}
		}), "spec.analysis.sessionAffinity"},
		"connections have no headers": {
			"istio",
			tcp(func(s *flaggerv1.CanarySpec) { s.Service.Headers = &flaggerv1.Headers{} }),
			"spec.service.headers",
		},
		"connections are not retried": {
			"istio",
			tcp(func(s *flaggerv1.CanarySpec) { s.Service.Retries = &flaggerv1.HTTPRetry{} }),
			"spec.service.retries",
		},
		"connections have no timeout": {"istio", tcp(func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "1s" }), "spec.service.timeout"},
		"connections are not rewritten": {
			"istio",
			tcp(func(s *flaggerv1.CanarySpec) { s.Service.Rewrite = &flaggerv1.HTTPRewrite{} }),
			"spec.service.rewrite",
		},
		"connections have no CORS": {
			"istio",
			tcp(func(s *flaggerv1.CanarySpec) { s.Service.CorsPolicy = &flaggerv1.CorsPolicy{} }),
			"spec.service.corsPolicy",
		},
		"connections have no path": {"istio", tcp(func(s *flaggerv1.CanarySpec) {
			matching(flaggerv1.HTTPMatchRequest{URI: &flaggerv1.StringMatch{Prefix: "/"}})(&s.Service)
		}), "spec.service.match[0].uri"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, tc.provider, tc.edit, tc.want)
		})
	}
}

// grpc edits a canary with a GRPCRoute.
func grpc(edit func(*flaggerv1.CanaryService)) func(*flaggerv1.CanarySpec) {
	return func(s *flaggerv1.CanarySpec) {
		s.Service.RouteKind = "GRPCRoute"
		edit(&s.Service)
	}
}

// own edits a canary with a route of its owner's.
func own(edit func(*flaggerv1.CanarySpec)) func(*flaggerv1.CanarySpec) {
	return func(s *flaggerv1.CanarySpec) {
		s.Service.GatewayRefs, s.HTTPRouteRef = nil, &flaggerv1.LocalObjectReference{Name: "website"}
		edit(s)
	}
}

// tcp edits a canary whose service is not HTTP.
func tcp(edit func(*flaggerv1.CanarySpec)) func(*flaggerv1.CanarySpec) {
	return func(s *flaggerv1.CanarySpec) {
		s.Service.AppProtocol = "TCP"
		edit(s)
	}
}

func matching(m flaggerv1.HTTPMatchRequest) func(*flaggerv1.CanaryService) {
	return func(s *flaggerv1.CanaryService) { s.Match = []flaggerv1.HTTPMatchRequest{m} }
}
