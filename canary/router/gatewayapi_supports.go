// SPDX-License-Identifier: Apache-2.0

package router

import (
	"cmp"
	"regexp"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Supports refuses what a route cannot say, and what would make it invalid before
// the API server does, with the field of the canary that it comes from.
func (g gatewayAPI) Supports(c *flaggerv1.Canary) error {
	if err := cmp.Or(checkMirror(c), checkSession(c)); err != nil {
		return err
	}
	if c.Spec.HTTPRouteRef != nil {
		return g.checkOwn(c)
	}
	return g.checkMade(c)
}

// gatewayDuration is the duration syntax of GEP-2257.
var gatewayDuration = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// checkMade is about a route that is made from spec.service.
func (g gatewayAPI) checkMade(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if len(s.GatewayRefs) == 0 {
		return terminal("spec.service.gatewayRefs: provider %s needs at least one Gateway, or a route of your own in spec.httpRouteRef",
			g.provider)
	}
	switch s.RouteKind {
	case "", provider.HTTPRoute:
	case provider.GRPCRoute:
		if err := checkGRPC(s); err != nil {
			return err
		}
	default:
		return terminal("spec.service.routeKind: %q is neither HTTPRoute nor GRPCRoute", s.RouteKind)
	}
	if err := cmp.Or(g.checkFilters(s), checkRewrite(c)); err != nil {
		return err
	}
	base, err := baseRule(c)
	if err != nil {
		return err
	}
	_, err = spread(base, bound(c), provider.Weights{Primary: 50, Canary: 50})
	return err
}

// bound is a canary whose users have cookies, if it wants them to: their rules are
// the most that a route can have.
func bound(c *flaggerv1.Canary) *flaggerv1.Canary {
	if c.Spec.Analysis == nil || c.Spec.Analysis.SessionAffinity == nil {
		return c
	}
	copied, s := c.DeepCopy(), c.Spec.Analysis.SessionAffinity
	copied.Status.SessionAffinityCookie, copied.Status.PrimarySessionAffinityCookie = s.CookieName+"=x", s.PrimaryCookieName+"=x"
	return copied
}

// checkFilters is about what happens to a request on its way.
func (g gatewayAPI) checkFilters(s *flaggerv1.CanaryService) error {
	if cors := s.CorsPolicy; cors != nil && len(cors.AllowOrigins) > 0 {
		return terminal("spec.service.corsPolicy.allowOrigins: not supported by provider %s; use allowOrigin", g.provider)
	}
	for field, value := range map[string]string{"timeout": s.Timeout, "backendTimeout": s.BackendTimeout} {
		if value != "" && !gatewayDuration.MatchString(value) {
			return terminal("spec.service.%s: %q is not a Gateway API duration such as 15s or 1m30s", field, value)
		}
	}
	whole, _ := time.ParseDuration(s.Timeout)
	if one, _ := time.ParseDuration(s.BackendTimeout); whole > 0 && one > whole {
		return terminal("spec.service.backendTimeout: %s is longer than spec.service.timeout, %s", s.BackendTimeout, s.Timeout)
	}
	return nil
}

// checkGRPC refuses what a GRPCRoute has no words for.
func checkGRPC(s *flaggerv1.CanaryService) error {
	for _, u := range []fieldSetting{
		{field: "timeout", set: s.Timeout != ""},
		{field: "backendTimeout", set: s.BackendTimeout != ""},
		{field: "rewrite", set: s.Rewrite != nil},
		{field: "corsPolicy", set: s.CorsPolicy != nil},
	} {
		if u.set {
			return terminal("spec.service.%s: a GRPCRoute has no such thing; remove it, or set routeKind to HTTPRoute, which carries gRPC too",
				u.field)
		}
	}
	return nil
}

// checkOwn is about a route of the owner's: what it says, spec.service cannot.
func (g gatewayAPI) checkOwn(c *flaggerv1.Canary) error {
	const field = "spec.httpRouteRef"
	ref := c.Spec.HTTPRouteRef
	switch {
	case ref.Kind != "" && ref.Kind != provider.HTTPRoute && ref.Kind != provider.GRPCRoute:
		return terminal("%s.kind: %q is neither HTTPRoute nor GRPCRoute", field, ref.Kind)
	case ref.APIVersion != "" && ref.APIVersion != gatewayv1.GroupName+"/v1" && ref.APIVersion != gatewayv1.GroupName+"/v1beta1":
		return terminal("%s.apiVersion: %q is not one of %s", field, ref.APIVersion, gatewayv1.GroupName)
	case c.Spec.Analysis != nil && c.Spec.Analysis.SessionAffinity != nil:
		return terminal("spec.analysis.sessionAffinity: not supported with %s; remove one of the two", field)
	}
	if _, path, ok := provider.FirstSet(c, provider.OfRequests); ok {
		return terminal("%s: has no effect with %s; write it in that route", path, field)
	}
	_, err := analysisMatches(c)
	return err
}
