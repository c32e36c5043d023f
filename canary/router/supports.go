package router

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// use is a field that not every provider can honour, the providers that can,
// without their versions and separated by spaces, and whether a canary sets it.
type use struct {
	field, by string
	set       bool
}

// refuse returns a terminal error about the first field that a canary sets and
// its provider cannot honour: a router that ignored one would send users where
// their owner did not want them.
func refuse(provider string, c *flaggerv1.Canary) error {
	family, _, _ := strings.Cut(provider, ":")
	for _, u := range uses(c) {
		can := strings.Fields(u.by)
		if u.set && !slices.Contains(can, family) {
			return terminal("%s: not supported by provider %s%s", u.field, provider, onlyBy(can))
		}
	}
	return nil
}

func onlyBy(providers []string) string {
	if len(providers) == 0 {
		return "; remove it"
	}
	return ", only by " + strings.Join(providers, ", ") + "; remove it"
}

// uses is the one list of what providers differ in. A field that is not here is
// honoured by all of them, or has rules of its own in a provider's file.
func uses(c *flaggerv1.Canary) []use {
	return slices.Concat(refFields(c), analysisFields(c), routingFields(&c.Spec.Service), meshFields(&c.Spec.Service))
}

// refFields name objects of the owner's.
func refFields(c *flaggerv1.Canary) []use {
	return []use{
		{"spec.httpRouteRef", "gatewayapi", c.Spec.HTTPRouteRef != nil},
		{"spec.ingressRef", "nginx skipper", c.Spec.IngressRef != nil},
		{"spec.routeRef", "apisix", c.Spec.RouteRef != nil},
		{"spec.upstreamRef", "gloo", c.Spec.UpstreamRef != nil},
	}
}

// analysisFields need a proxy that tells requests apart or copies them. Provider
// kubernetes is not among those of spec.analysis.match, but no user ever reaches
// the canary there: the match is ignored with a warning, as Flagger does.
func analysisFields(c *flaggerv1.Canary) []use {
	a := c.Spec.Analysis
	if a == nil {
		return nil
	}
	return []use{
		{"spec.analysis.match", "contour gatewayapi gloo istio kubernetes nginx", len(a.Match) > 0},
		{"spec.analysis.mirror", "gatewayapi istio", a.Mirror},
		{"spec.analysis.mirrorWeight", "gatewayapi istio", a.MirrorWeight != 0},
		{"spec.analysis.sessionAffinity", "gatewayapi istio", a.SessionAffinity != nil},
	}
}

// checkMirror refuses a share of requests that there is not.
func checkMirror(c *flaggerv1.Canary) error {
	if a := c.Spec.Analysis; a != nil && (a.MirrorWeight < 0 || a.MirrorWeight > 100) {
		return terminal("spec.analysis.mirrorWeight: %d is not a percentage", a.MirrorWeight)
	}
	return nil
}

// routingFields need a proxy that reads requests.
func routingFields(s *flaggerv1.CanaryService) []use {
	return []use{
		{"spec.service.gatewayRefs", "gatewayapi", len(s.GatewayRefs) > 0},
		{"spec.service.routeKind", "gatewayapi", s.RouteKind != ""},
		{"spec.service.hosts", "gatewayapi istio linkerd osm smi", len(s.Hosts) > 0},
		{"spec.service.match", "contour gatewayapi istio", len(s.Match) > 0},
		{"spec.service.rewrite", "gatewayapi istio", s.Rewrite != nil},
		{"spec.service.headers", "gatewayapi istio", s.Headers != nil},
		{"spec.service.mirror", "gatewayapi", len(s.Mirror) > 0},
		{"spec.service.corsPolicy", "gatewayapi istio", s.CorsPolicy != nil},
		{"spec.service.timeout", "contour gatewayapi istio", s.Timeout != ""},
		{"spec.service.backendTimeout", "gatewayapi", s.BackendTimeout != ""},
		{"spec.service.retries", "contour istio", s.Retries != nil},
	}
}

// meshFields are those of single meshes.
func meshFields(s *flaggerv1.CanaryService) []use {
	return []use{
		{"spec.service.gateways", "istio", len(s.Gateways) > 0},
		{"spec.service.delegation", "istio", s.Delegation},
		{"spec.service.trafficPolicy", "istio", s.TrafficPolicy != nil},
		{"spec.service.meshName", "", s.MeshName != ""},
		{"spec.service.backends", "", len(s.Backends) > 0},
	}
}

// terminal is an error about the canary's spec: only an edit of it helps.
func terminal(format string, args ...any) error {
	return reconcile.TerminalError(fmt.Errorf(format, args...))
}
