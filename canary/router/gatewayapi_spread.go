// SPDX-License-Identifier: Apache-2.0

package router

import (
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// spread makes the rules of a route out of the one for everybody.
func spread(base rule, c *flaggerv1.Canary, w provider.Weights) ([]rule, error) {
	rules, err := spreadUsers(base, c, w)
	if err != nil {
		return nil, err
	}
	var out []rule
	for _, r := range rules {
		out = append(out, onePrefix(r)...)
	}
	return out, tooMany(out)
}

// spreadUsers spreads users over rules in the order in which Flagger writes them: for
// an A/B test the chosen ones come first, for session affinity those with a cookie.
func spreadUsers(base rule, c *flaggerv1.Canary, w provider.Weights) ([]rule, error) {
	weighted := runtime.DeepCopyJSON(base)
	if w.Mirror {
		_, _, canary := c.ServiceNames()
		mirror, err := mirrorTo(service(canary, c.Spec.Service.Port), c)
		if err != nil {
			return nil, err
		}
		object.PutList(weighted, "filters", append(object.List(weighted, "filters"), mirror))
	}
	object.PutList(weighted, "backendRefs", shares(c, w.Primary, w.Canary))
	chosen, err := analysisMatches(c)
	if err != nil {
		return nil, err
	}
	s, bound := sessionOf(c, w)
	switch {
	case len(chosen) > 0:
		object.PutList(weighted, "matches", narrow(object.List(base, "matches"), chosen, combine))
		rest := without(base)
		object.PutList(rest, "backendRefs", shares(c, provider.ToPrimary.Primary, provider.ToPrimary.Canary)[:1])
		return []rule{without(weighted, "name"), rest}, nil
	case bound && w.Canary == 0:
		return append(dropCookies(weighted, s), weighted), nil
	case bound:
		return append(stickyRules(base, c, s), setCookies(weighted, s)), nil
	default:
		return []rule{weighted}, nil
	}
}

// shares are the backends of both copies, the primary first.
func shares(c *flaggerv1.Canary, ofPrimary, ofCanary int) []map[string]any {
	_, primary, canary := c.ServiceNames()
	port := c.Spec.Service.Port
	return []map[string]any{backend(primary, port, ofPrimary), backend(canary, port, ofCanary)}
}

// stickyRules returns the rules that keep users with a cookie where they are.
func stickyRules(base rule, c *flaggerv1.Canary, s sessionAffinity) []rule {
	return s.stickyRoutes(func(cookie string, ofPrimary, ofCanary int) rule {
		r := withCookie(base, cookie)
		object.PutList(r, "backendRefs", shares(c, ofPrimary, ofCanary))
		return r
	})
}

// setCookies makes the answers of the copies set their cookie.
func setCookies(weighted rule, s sessionAffinity) rule {
	refs := object.List(weighted, "backendRefs")
	if s.primary != "" {
		object.PutList(refs[0], "filters", addHeader(nil, setCookieHeader, s.setPrimary()))
	}
	object.PutList(refs[1], "filters", addHeader(nil, setCookieHeader, s.setCanary()))
	return weighted
}

// dropCookies returns the rules that tell users to forget a cookie.
func dropCookies(weighted rule, s sessionAffinity) []rule {
	var out []rule
	for _, cookie := range s.stale {
		r := withCookie(weighted, cookie)
		object.PutList(r, "filters", addHeader(object.List(r, "filters"), setCookieHeader, s.drop(cookie)))
		out = append(out, r)
	}
	return out
}

// withCookie narrows a copy of a rule to requests that have a cookie.
func withCookie(r rule, cookie string) rule {
	condition := map[string]any{"headers": []any{map[string]any{
		"type": string(gatewayv1.HeaderMatchRegularExpression), "name": cookieHeader, "value": cookieRegex(cookie),
	}}}
	narrowed := without(r, "name")
	object.PutList(narrowed, "matches", narrow(object.List(r, "matches"), []map[string]any{condition}, combine))
	return narrowed
}

// addHeader adds a header to responses. A list of filters may have only one that
// modifies them: the API server refuses a second.
func addHeader(filters []map[string]any, name, value string) []map[string]any {
	const kind, key = string(gatewayv1.HTTPRouteFilterResponseHeaderModifier), "responseHeaderModifier"
	header := map[string]any{"name": name, "value": value}
	for i, filter := range filters {
		if modifier, ok := filter[key].(map[string]any); ok {
			modifier = runtime.DeepCopyJSON(modifier)
			object.PutList(modifier, "add", append(object.List(modifier, "add"), header))
			filters[i] = map[string]any{"type": kind, key: modifier}
			return filters
		}
	}
	return append(filters, map[string]any{"type": kind, key: map[string]any{"add": []any{header}}})
}
