// SPDX-License-Identifier: Apache-2.0

package router

import (
	"maps"
	"slices"
	"time"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// preflightSeconds is what the API server fills in for a CORS maxAge of zero.
const preflightSeconds = 5

// renderFilters returns what happens to a request on its way, in the order in
// which Flagger writes it.
func renderFilters(s *flaggerv1.CanaryService) ([]gatewayv1.HTTPRouteFilter, error) {
	var out []gatewayv1.HTTPRouteFilter
	if s.Headers != nil && s.Headers.Request != nil {
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type:                  gatewayv1.HTTPRouteFilterRequestHeaderModifier,
			RequestHeaderModifier: headerFilter(s.Headers.Request),
		})
	}
	if s.Headers != nil && s.Headers.Response != nil {
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type:                   gatewayv1.HTTPRouteFilterResponseHeaderModifier,
			ResponseHeaderModifier: headerFilter(s.Headers.Response),
		})
	}
	if s.Rewrite != nil {
		out = append(out, rewriteFilter(s.Rewrite))
	}
	for _, mirror := range s.Mirror {
		out = append(out, mirrorFilter(mirror))
	}
	if s.CorsPolicy != nil {
		cors, err := corsFilter(s.CorsPolicy)
		if err != nil {
			return nil, err
		}
		out = append(out, cors)
	}
	return out, nil
}

func headerFilter(op *flaggerv1.HeaderOperations) *gatewayv1.HTTPHeaderFilter {
	return &gatewayv1.HTTPHeaderFilter{Add: headers(op.Add), Set: headers(op.Set), Remove: slices.Clone(op.Remove)}
}

// headers are sorted: a map's order would rewrite the route for nothing.
func headers(values map[string]string) []gatewayv1.HTTPHeader {
	var out []gatewayv1.HTTPHeader
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, gatewayv1.HTTPHeader{Name: gatewayv1.HTTPHeaderName(name), Value: values[name]})
	}
	return out
}

// rewriteFilter replaces the whole path unless the rewrite asks for the prefix.
func rewriteFilter(r *flaggerv1.HTTPRewrite) gatewayv1.HTTPRouteFilter {
	rewrite := &gatewayv1.HTTPURLRewriteFilter{}
	if r.Authority != "" {
		rewrite.Hostname = ptr.To(gatewayv1.PreciseHostname(r.Authority))
	}
	switch {
	case r.URI == "":
	case r.Type == string(gatewayv1.PrefixMatchHTTPPathModifier):
		rewrite.Path = &gatewayv1.HTTPPathModifier{Type: gatewayv1.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: ptr.To(r.URI)}
	default:
		rewrite.Path = &gatewayv1.HTTPPathModifier{Type: gatewayv1.FullPathHTTPPathModifier, ReplaceFullPath: ptr.To(r.URI)}
	}
	return gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterURLRewrite, URLRewrite: rewrite}
}

func mirrorFilter(mirror gatewayv1.HTTPRequestMirrorFilter) gatewayv1.HTTPRouteFilter {
	copied := mirror.DeepCopy()
	copied.BackendRef.Group = ptr.To(ptr.Deref(mirror.BackendRef.Group, ""))
	copied.BackendRef.Kind = ptr.To(ptr.Deref(mirror.BackendRef.Kind, "Service"))
	return gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: copied}
}

// mirrorTo copies requests to the canary: all of them, or the percentage that
// spec.analysis.mirrorWeight asks for.
func mirrorTo(canary gatewayv1.BackendObjectReference, c *flaggerv1.Canary) (map[string]any, error) {
	mirror := &gatewayv1.HTTPRequestMirrorFilter{BackendRef: canary}
	if analysis := c.Spec.Analysis; analysis != nil && analysis.MirrorWeight > 0 {
		mirror.Percent = ptr.To(int32(analysis.MirrorWeight))
	}
	return asJSON(&gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: mirror})
}

// service refers to a Service as the API server would complete it.
func service(name string, port int32) gatewayv1.BackendObjectReference {
	return gatewayv1.BackendObjectReference{
		Group: ptr.To(gatewayv1.Group("")),
		Kind:  ptr.To(gatewayv1.Kind("Service")),
		Name:  gatewayv1.ObjectName(name),
		Port:  ptr.To(port),
	}
}

func corsFilter(p *flaggerv1.CorsPolicy) (gatewayv1.HTTPRouteFilter, error) {
	cors := &gatewayv1.HTTPCORSFilter{MaxAge: preflightSeconds}
	for _, origin := range p.AllowOrigin {
		cors.AllowOrigins = append(cors.AllowOrigins, gatewayv1.CORSOrigin(origin))
	}
	for _, method := range p.AllowMethods {
		cors.AllowMethods = append(cors.AllowMethods, gatewayv1.HTTPMethodWithWildcard(method))
	}
	for _, header := range p.AllowHeaders {
		cors.AllowHeaders = append(cors.AllowHeaders, gatewayv1.HTTPHeaderName(header))
	}
	for _, header := range p.ExposeHeaders {
		cors.ExposeHeaders = append(cors.ExposeHeaders, gatewayv1.HTTPHeaderName(header))
	}
	if p.AllowCredentials {
		cors.AllowCredentials = ptr.To(true)
	}
	if p.MaxAge != "" {
		age, err := time.ParseDuration(p.MaxAge)
		if err != nil || age < time.Second {
			return gatewayv1.HTTPRouteFilter{}, terminal("spec.service.corsPolicy.maxAge: %q is not a duration of a second or more", p.MaxAge)
		}
		cors.MaxAge = int32(age / time.Second)
	}
	return gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterCORS, CORS: cors}, nil
}

func timeouts(s *flaggerv1.CanaryService) *gatewayv1.HTTPRouteTimeouts {
	if s.Timeout == "" && s.BackendTimeout == "" {
		return nil
	}
	out := &gatewayv1.HTTPRouteTimeouts{}
	if s.Timeout != "" {
		out.Request = ptr.To(gatewayv1.Duration(s.Timeout))
	}
	if s.BackendTimeout != "" {
		out.BackendRequest = ptr.To(gatewayv1.Duration(s.BackendTimeout))
	}
	return out
}
