// SPDX-License-Identifier: Apache-2.0

package served

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestTheAPIServerRefusesWhatTheTableOfProvidersDoesNotHave holds the CEL rules of the
// Canary, which are generated, to package provider.
func TestTheAPIServerRefusesWhatTheTableOfProvidersDoesNotHave(t *testing.T) {
	c := harness.Installed(t).Client
	for what, tc := range map[string]struct {
		field    provider.Fields
		analysis string
	}{
		"analysis.match":           {provider.AnalysisMatch, "iterations: 5, match: [{headers: {a: {exact: b}}}]"},
		"analysis.mirror":          {provider.AnalysisMirror, "stepWeight: 10, mirror: true"},
		"analysis.sessionAffinity": {provider.SessionAffinity, "stepWeight: 10, sessionAffinity: {cookieName: c}"},
	} {
		for _, name := range provider.Names() {
			if name == provider.Partition {
				continue // no spec names it
			}
			t.Run(what+" with "+name, func(t *testing.T) {
				row, _ := provider.Named(name)
				spec := canaryHead + target + "  provider: " + name + "\n  analysis: {interval: 1m, threshold: 1, " + tc.analysis + "}\n"
				if row.Fields&provider.IngressRef != 0 {
					spec += "  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: x}\n"
				}
				if row.Fields&provider.RouteRef != 0 {
					spec += "  routeRef: {apiVersion: apisix.apache.org/v2, kind: ApisixRoute, name: x}\n"
				}
				err := create(t, c, parse(t, spec)[0])
				if honoured := row.Fields&tc.field != 0; honoured != (err == nil) {
					t.Errorf("the table has it: %v; the API server: %v", honoured, err)
				}
			})
		}
	}
}

// TestTheAPIServerRefusesWhatNoRouterOfThatNameCanDo: Flagger accepts these, and
// ignores them or sends everybody to the canary.
func TestTheAPIServerRefusesWhatNoRouterOfThatNameCanDo(t *testing.T) {
	const (
		steps   = "  analysis: {interval: 1m, threshold: 1, stepWeight: 10}\n"
		chosen  = "  analysis: {interval: 1m, threshold: 1, iterations: 5, match: [{headers: {a: {exact: b}}}]}\n"
		mirror  = "  analysis: {interval: 1m, threshold: 1, stepWeight: 10, mirror: true}\n"
		sticky  = "  analysis: {interval: 1m, threshold: 1, stepWeight: 10, sessionAffinity: {cookieName: c}}\n"
		ingress = "  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: x}\n"
		route   = "  routeRef: {apiVersion: apisix.apache.org/v2, kind: ApisixRoute, name: x}\n"
		own     = "  httpRouteRef: {name: x}\n"
	)
	tests := map[string]struct{ provider, spec, refused string }{
		"nginx with an Ingress":                {"nginx", steps + ingress, ""},
		"nginx without an Ingress":             {"nginx", steps, "need ingressRef"},
		"Skipper with an Ingress":              {"skipper", steps + ingress, ""},
		"Skipper without an Ingress":           {"skipper", steps, "need ingressRef"},
		"APISIX with a route":                  {"apisix", steps + route, ""},
		"APISIX without a route":               {"apisix", steps, "needs routeRef"},
		"the controller's provider":            {"", steps + ingress, ""},
		"an Ingress that Istio does not need":  {"istio", steps + ingress, ""},
		"a route of one's own, Gateway API":    {"gatewayapi:v1", steps + own, ""},
		"a route of one's own, Istio":          {"istio", steps + own, "only the gatewayapi providers have httpRouteRef"},
		"an A/B test with nginx":               {"nginx", chosen + ingress, ""},
		"an A/B test with Contour":             {"contour", chosen, ""},
		"an A/B test with Gloo":                {"gloo", chosen, ""},
		"an A/B test with nothing but Service": {"kubernetes", chosen, ""},
		"an A/B test with Traefik":             {"traefik", chosen, "cannot choose users"},
		"an A/B test with Skipper":             {"skipper", chosen + ingress, "cannot choose users"},
		"an A/B test with APISIX":              {"apisix", chosen + route, "cannot choose users"},
		"an A/B test with Kuma":                {"kuma", chosen, "cannot choose users"},
		"an A/B test with Linkerd":             {"linkerd", chosen, "cannot choose users"},
		"an A/B test with Open Service Mesh":   {"osm", chosen, "cannot choose users"},
		"an A/B test with SMI":                 {"smi:v1alpha3", chosen, "cannot choose users"},
		"an A/B test with Knative":             {"knative", chosen, "cannot choose users"},
		"an A/B test of nobody with Traefik":   {"traefik", "  analysis: {interval: 1m, threshold: 1, iterations: 5, match: []}\n", ""},
		"mirroring with Istio":                 {"istio", mirror, ""},
		"mirroring with the Gateway API":       {"gatewayapi:v1beta1", mirror, ""},
		"mirroring with the controller's":      {"", mirror, ""},
		"mirroring with nginx":                 {"nginx", mirror + ingress, "has no analysis.mirror"},
		"mirroring with Services":              {"kubernetes", mirror, "has no analysis.mirror"},
		"no mirroring with Services":           {"kubernetes", strings.Replace(mirror, "true", "false", 1), ""},
		"session affinity with Istio":          {"istio", sticky, ""},
		"session affinity with Contour":        {"contour", sticky, "has no analysis.sessionAffinity"},
		"mirroring more than there is":         {"istio", strings.Replace(mirror, "mirror:", "mirrorWeight: 101, mirror:", 1), "mirrorWeight"},
		"mirroring less than nothing":          {"istio", strings.Replace(mirror, "mirror:", "mirrorWeight: -1, mirror:", 1), "mirrorWeight"},
		"steps that rise":                      {"istio", "  analysis: {interval: 1m, threshold: 1, stepWeights: [1, 2, 10, 80, 100]}\n", ""},
		"steps that fall": {
			"istio",
			"  analysis: {interval: 1m, threshold: 1, stepWeights: [10, 5]}\n",
			"stepWeights must rise",
		},
		"steps that stand": {
			"istio",
			"  analysis: {interval: 1m, threshold: 1, stepWeights: [10, 10]}\n",
			"stepWeights must rise",
		},
		"steps beyond everybody": {
			"istio",
			"  analysis: {interval: 1m, threshold: 1, stepWeights: [10, 110]}\n",
			"stepWeights must rise",
		},
		"steps from nobody": {
			"istio",
			"  analysis: {interval: 1m, threshold: 1, stepWeights: [0, 50]}\n",
			"stepWeights must rise",
		},
	}
	c := harness.Installed(t).Client
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := canaryHead + target + tc.spec
			if tc.provider != "" {
				spec += "  provider: " + tc.provider + "\n"
			}
			err := create(t, c, parse(t, spec)[0])
			switch {
			case tc.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want a refusal with %q", err, tc.refused)
			}
		})
	}
}
