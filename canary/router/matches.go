package router

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// serviceMatches are the requests that the route is for: all of them, unless
// spec.service.match says less.
func serviceMatches(c *flaggerv1.Canary) ([]gatewayv1.HTTPRouteMatch, error) {
	matches, err := renderMatches("spec.service.match", c.Spec.Service.Match)
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

// analysisMatches are the requests of an A/B test.
func analysisMatches(c *flaggerv1.Canary) ([]gatewayv1.HTTPRouteMatch, error) {
	if c.Spec.Analysis == nil {
		return nil, nil
	}
	return renderMatches("spec.analysis.match", c.Spec.Analysis.Match)
}

// narrow returns the requests that fit one of each: every pair, in which the
// A/B test's conditions replace those of the service.
func narrow(everyone, chosen []gatewayv1.HTTPRouteMatch) []gatewayv1.HTTPRouteMatch {
	var out []gatewayv1.HTTPRouteMatch
	for _, a := range chosen {
		for _, s := range everyone {
			pair := *s.DeepCopy()
			if len(a.Headers) > 0 {
				pair.Headers = a.Headers
			}
			if len(a.QueryParams) > 0 {
				pair.QueryParams = a.QueryParams
			}
			if a.Method != nil {
				pair.Method = a.Method
			}
			if a.Path != nil {
				pair.Path = a.Path
			}
			out = append(out, pair)
		}
	}
	return out
}

func renderMatches(field string, requests []flaggerv1.HTTPMatchRequest) ([]gatewayv1.HTTPRouteMatch, error) {
	var out []gatewayv1.HTTPRouteMatch
	for i, request := range requests {
		match, err := renderMatch(&request)
		if err != nil {
			return nil, reconcile.TerminalError(fmt.Errorf("%s[%d].%w", field, i, err))
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
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		kind, value, ok := valueMatch(r.Headers[name])
		if !ok {
			return match, fmt.Errorf("headers[%s]: an HTTPRoute matches only exact or regex", name)
		}
		match.Headers = append(match.Headers, gatewayv1.HTTPHeaderMatch{
			Type: ptr.To(gatewayv1.HeaderMatchType(kind)), Name: gatewayv1.HTTPHeaderName(name), Value: value,
		})
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
	for _, u := range []use{
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
