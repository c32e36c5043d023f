// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// grpcRule is the rule of a GRPCRoute for everybody, without backends. Its filters
// are a part of those of an HTTPRoute, spelled alike.
func grpcRule(c *flaggerv1.Canary) (rule, error) {
	matches, err := renderAll("spec.service.match", c.Spec.Service.Match, grpcMatch)
	if err != nil {
		return nil, err
	}
	filters, err := renderFilters(&c.Spec.Service)
	if err != nil {
		return nil, err
	}
	out, err := asJSON(&gatewayv1.GRPCRouteRule{Matches: matches})
	if err != nil {
		return nil, err
	}
	rendered, err := allJSON(filters, nil)
	if err != nil {
		return nil, err
	}
	object.PutList(out, "filters", rendered)
	return out, nil
}

// grpcMatch fails with an error that starts with the path of the field.
func grpcMatch(r *flaggerv1.HTTPMatchRequest) (gatewayv1.GRPCRouteMatch, error) {
	match := gatewayv1.GRPCRouteMatch{}
	field, foreign := foreignMatch(r)
	switch {
	case foreign:
	case r.Method != nil:
		field = "method"
	case len(r.QueryParams) > 0:
		field = "queryParams"
	}
	if field != "" {
		return match, fmt.Errorf("%s: a GRPCRoute cannot match it", field)
	}
	method, err := grpcMethod(r.URI)
	if err != nil {
		return match, err
	}
	match.Method = method
	headers, err := headerMatches(r, "a GRPCRoute")
	for _, header := range headers {
		match.Headers = append(match.Headers, gatewayv1.GRPCHeaderMatch{
			Type: ptr.To(gatewayv1.GRPCHeaderMatchType(*header.Type)), Name: gatewayv1.GRPCHeaderName(header.Name), Value: header.Value,
		})
	}
	return match, err
}

// grpcPath is the path of a call: `/package.Service/Method`.
var grpcPath = regexp.MustCompile(`^/([A-Za-z_][\w.]*)(?:/([A-Za-z_]\w*)?)?$`)

// grpcMethod reads a path as what it is in gRPC: a service, or a method of one.
// Any call at all has no condition.
func grpcMethod(uri *flaggerv1.StringMatch) (*gatewayv1.GRPCMethodMatch, error) {
	if uri == nil || uri.Prefix == "/" {
		return nil, nil
	}
	path := uri.Prefix
	if uri.Exact != "" {
		path = uri.Exact
	}
	parts := grpcPath.FindStringSubmatch(path)
	if parts == nil || uri.Exact != "" && parts[2] == "" || strings.Contains(parts[1], "..") {
		return nil, fmt.Errorf("uri: a GRPCRoute matches only exact /package.Service/Method or prefix /package.Service/")
	}
	out := &gatewayv1.GRPCMethodMatch{Type: ptr.To(gatewayv1.GRPCMethodMatchExact), Service: &parts[1]}
	if parts[2] != "" {
		out.Method = &parts[2]
	}
	return out, nil
}
