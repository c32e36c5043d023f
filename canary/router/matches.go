// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// serviceMatches are the requests that the route is for: all of them, unless
// spec.service.match says less.
func serviceMatches(c *flaggerv1.Canary) ([]gatewayv1.HTTPRouteMatch, error) {
	matches, err := renderAll("spec.service.match", c.Spec.Service.Match, renderMatch)
	if err != nil {
		return nil, err
	}
	if len(matches) == 0 {
		matches = make([]gatewayv1.HTTPRouteMatch, 1)
	}
	for i := range matches {
		if matches[i].Path == nil {
			matches[i].Path = pathMatch(gatewayv1.PathMatchPathPrefix, "/")
		}
	}
	return matches, nil
}

// analysisMatches are the requests of an A/B test, as JSON.
func analysisMatches(c *flaggerv1.Canary) ([]map[string]any, error) {
	if c.Spec.Analysis == nil {
		return nil, nil
	}
	const field = "spec.analysis.match"
	if provider.KindOfRoute(c) == provider.GRPCRoute {
		matches, err := renderAll(field, c.Spec.Analysis.Match, grpcMatch)
		return allJSON(matches, err)
	}
	matches, err := renderAll(field, c.Spec.Analysis.Match, renderMatch)
	return allJSON(matches, err)
}

func allJSON[T any](items []T, err error) ([]map[string]any, error) {
	var out []map[string]any
	for i := range items {
		item, err := asJSON(&items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, err
}

// renderAll names the field of the first match that cannot be rendered.
func renderAll[T any](
	field string, requests []flaggerv1.HTTPMatchRequest, render func(*flaggerv1.HTTPMatchRequest) (T, error),
) ([]T, error) {
	var out []T
	for i := range requests {
		match, err := render(&requests[i])
		if err != nil {
			return nil, terminal("%s[%d].%w", field, i, err)
		}
		out = append(out, match)
	}
	return out, nil
}

// renderMatch fails with an error that starts with the path of the field.
func renderMatch(r *flaggerv1.HTTPMatchRequest) (gatewayv1.HTTPRouteMatch, error) {
	match := gatewayv1.HTTPRouteMatch{}
	if field, ok := foreignMatch(r); ok {
		return match, fmt.Errorf("%s: an HTTPRoute cannot match it", field)
	}
	if r.URI != nil {
		path, err := renderPath(r.URI)
		if err != nil {
			return match, err
		}
		match.Path = path
	}
	if r.Method != nil {
		if r.Method.Exact == "" {
			return match, fmt.Errorf("method: an HTTPRoute matches only an exact method")
		}
		match.Method = ptr.To(gatewayv1.HTTPMethod(r.Method.Exact))
	}
	var err error
	if match.Headers, err = headerMatches(r, "an HTTPRoute"); err != nil {
		return match, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.QueryParams)) {
		kind, value, ok := valueMatch(r.QueryParams[name])
		if !ok {
			return match, fmt.Errorf("queryParams[%s]: an HTTPRoute matches only exact or regex", name)
		}
		match.QueryParams = append(match.QueryParams, gatewayv1.HTTPQueryParamMatch{
			Type: ptr.To(gatewayv1.QueryParamMatchType(kind)), Name: gatewayv1.HTTPHeaderName(name), Value: value,
		})
	}
	return match, nil
}

func headerMatches(r *flaggerv1.HTTPMatchRequest, who string) ([]gatewayv1.HTTPHeaderMatch, error) {
	var out []gatewayv1.HTTPHeaderMatch
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		kind, value, ok := valueMatch(r.Headers[name])
		if !ok {
			return nil, fmt.Errorf("headers[%s]: %s matches only exact or regex", name, who)
		}
		out = append(out, gatewayv1.HTTPHeaderMatch{
			Type: ptr.To(gatewayv1.HeaderMatchType(kind)), Name: gatewayv1.HTTPHeaderName(name), Value: value,
		})
	}
	return out, nil
}

func renderPath(uri *flaggerv1.StringMatch) (*gatewayv1.HTTPPathMatch, error) {
	switch {
	case uri.Regex != "":
		return pathMatch(gatewayv1.PathMatchRegularExpression, uri.Regex), nil
	case uri.Exact != "":
		return pathMatch(gatewayv1.PathMatchExact, uri.Exact), nil
	case uri.Prefix != "":
		return pathMatch(gatewayv1.PathMatchPathPrefix, uri.Prefix), nil
	default:
		return nil, fmt.Errorf("uri: an HTTPRoute matches only exact, prefix or regex")
	}
}

func pathMatch(kind gatewayv1.PathMatchType, value string) *gatewayv1.HTTPPathMatch {
	return &gatewayv1.HTTPPathMatch{Type: &kind, Value: &value}
}

// valueMatch returns the kind of match, spelled as headers and query parameters
// both spell it, and its value.
func valueMatch(m flaggerv1.StringMatch) (kind, value string, ok bool) {
	switch {
	case m.Exact != "":
		return string(gatewayv1.HeaderMatchExact), m.Exact, true
	case m.Regex != "":
		return string(gatewayv1.HeaderMatchRegularExpression), m.Regex, true
	default:
		return "", "", false
	}
}

// foreignMatch names a condition that only Istio can check.
func foreignMatch(r *flaggerv1.HTTPMatchRequest) (string, bool) {
	for _, u := range []fieldSetting{
		{field: "scheme", set: r.Scheme != nil},
		{field: "authority", set: r.Authority != nil},
		{field: "port", set: r.Port != 0},
		{field: "sourceLabels", set: len(r.SourceLabels) > 0},
		{field: "sourceNamespace", set: r.SourceNamespace != ""},
		{field: "gateways", set: len(r.Gateways) > 0},
		{field: "ignoreUriCase", set: r.IgnoreURICase},
		{field: "withoutHeaders", set: len(r.WithoutHeaders) > 0},
	} {
		if u.set {
			return u.field, true
		}
	}
	return "", false
}
