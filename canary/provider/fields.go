// SPDX-License-Identifier: Apache-2.0

package provider

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// Fields is a set of fields of a Canary that not every provider can honour. A field
// that is not here is honoured by all of them, or has rules of its own in the file
// of a router.
type Fields uint32

// The fields that name objects of the owner's.
const (
	HTTPRouteRef Fields = 1 << iota
	IngressRef
	RouteRef
	UpstreamRef

	// The fields of spec.analysis that need a proxy which tells requests apart or
	// copies them.

	AnalysisMatch
	AnalysisMirror
	MirrorWeight
	SessionAffinity

	// The fields of spec.service that need a proxy which reads requests.

	GatewayRefs
	RouteKind
	Hosts
	Match
	Rewrite
	Headers
	Mirror
	CORSPolicy
	Timeout
	BackendTimeout
	Retries

	// The fields of spec.service that belong to single meshes.

	Gateways
	Delegation
	TrafficPolicy
	MeshName
	Backends
)

const (
	// OfAnalysis are the fields of spec.analysis.
	OfAnalysis = AnalysisMatch | AnalysisMirror | MirrorWeight | SessionAffinity
	// OfRequests are the fields of spec.service about the requests of a route.
	OfRequests = GatewayRefs | RouteKind | Hosts | Match | Rewrite | Headers | Mirror | CORSPolicy | Timeout | BackendTimeout | Retries
)

// fields says where each field is, and whether a canary sets it, in the order in
// which they are refused.
var fields = []struct {
	field Fields
	path  string
	set   func(*flaggerv1.CanarySpec) bool
}{
	{HTTPRouteRef, "spec.httpRouteRef", func(s *flaggerv1.CanarySpec) bool { return s.HTTPRouteRef != nil }},
	{IngressRef, "spec.ingressRef", func(s *flaggerv1.CanarySpec) bool { return s.IngressRef != nil }},
	{RouteRef, "spec.routeRef", func(s *flaggerv1.CanarySpec) bool { return s.RouteRef != nil }},
	{UpstreamRef, "spec.upstreamRef", func(s *flaggerv1.CanarySpec) bool { return s.UpstreamRef != nil }},

	{AnalysisMatch, "spec.analysis.match", func(s *flaggerv1.CanarySpec) bool { return len(analysis(s).Match) > 0 }},
	{AnalysisMirror, "spec.analysis.mirror", func(s *flaggerv1.CanarySpec) bool { return analysis(s).Mirror }},
	{MirrorWeight, "spec.analysis.mirrorWeight", func(s *flaggerv1.CanarySpec) bool { return analysis(s).MirrorWeight != 0 }},
	{SessionAffinity, "spec.analysis.sessionAffinity", func(s *flaggerv1.CanarySpec) bool { return analysis(s).SessionAffinity != nil }},

	{GatewayRefs, "spec.service.gatewayRefs", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.GatewayRefs) > 0 }},
	{RouteKind, "spec.service.routeKind", func(s *flaggerv1.CanarySpec) bool { return s.Service.RouteKind != "" }},
	{Hosts, "spec.service.hosts", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.Hosts) > 0 }},
	{Match, "spec.service.match", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.Match) > 0 }},
	{Rewrite, "spec.service.rewrite", func(s *flaggerv1.CanarySpec) bool { return s.Service.Rewrite != nil }},
	{Headers, "spec.service.headers", func(s *flaggerv1.CanarySpec) bool { return s.Service.Headers != nil }},
	{Mirror, "spec.service.mirror", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.Mirror) > 0 }},
	{CORSPolicy, "spec.service.corsPolicy", func(s *flaggerv1.CanarySpec) bool { return s.Service.CorsPolicy != nil }},
	{Timeout, "spec.service.timeout", func(s *flaggerv1.CanarySpec) bool { return s.Service.Timeout != "" }},
	{BackendTimeout, "spec.service.backendTimeout", func(s *flaggerv1.CanarySpec) bool { return s.Service.BackendTimeout != "" }},
	{Retries, "spec.service.retries", func(s *flaggerv1.CanarySpec) bool { return s.Service.Retries != nil }},

	{Gateways, "spec.service.gateways", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.Gateways) > 0 }},
	{Delegation, "spec.service.delegation", func(s *flaggerv1.CanarySpec) bool { return s.Service.Delegation }},
	{TrafficPolicy, "spec.service.trafficPolicy", func(s *flaggerv1.CanarySpec) bool { return s.Service.TrafficPolicy != nil }},
	{MeshName, "spec.service.meshName", func(s *flaggerv1.CanarySpec) bool { return s.Service.MeshName != "" }},
	{Backends, "spec.service.backends", func(s *flaggerv1.CanarySpec) bool { return len(s.Service.Backends) > 0 }},
}

// Reference is a field that names an object of the owner's which users come through.
type Reference struct {
	Field Fields
	// Path is where it is, below spec, and Kind that of the object.
	Path, Kind string

	name func(*flaggerv1.CanarySpec) *flaggerv1.LocalObjectReference
}

// References are the references that a provider may need.
func References() []Reference {
	return []Reference{
		{IngressRef, "ingressRef", "Ingress", func(s *flaggerv1.CanarySpec) *flaggerv1.LocalObjectReference { return s.IngressRef }},
		{RouteRef, "routeRef", "ApisixRoute", func(s *flaggerv1.CanarySpec) *flaggerv1.LocalObjectReference { return s.RouteRef }},
	}
}

// Missing returns the first reference that the provider needs and a canary lacks; ok is false if there is none.
func (p Provider) Missing(c *flaggerv1.Canary) (ref Reference, ok bool) {
	for _, ref := range References() {
		if to := ref.name(&c.Spec); p.Needs&ref.Field != 0 && (to == nil || to.Name == "") {
			return ref, true
		}
	}
	return Reference{}, false
}

// analysis is that of a spec, an empty one if it has none.
func analysis(s *flaggerv1.CanarySpec) *flaggerv1.CanaryAnalysis {
	if s.Analysis == nil {
		return &flaggerv1.CanaryAnalysis{}
	}
	return s.Analysis
}

// Honours reports whether a provider honours all of some fields.
func (p Provider) Honours(f Fields) bool { return p.Fields&f == f }

// Unsupported returns the first field that a canary sets and the provider does not
// honour, with its path; ok is false if there is none.
func (p Provider) Unsupported(c *flaggerv1.Canary) (field Fields, path string, ok bool) {
	return FirstSet(c, ^p.Fields)
}

// FirstSet returns the first of some fields that a canary sets, with its path; ok is
// false if it sets none of them.
func FirstSet(c *flaggerv1.Canary, among Fields) (field Fields, path string, ok bool) {
	for _, f := range fields {
		if among&f.field != 0 && f.set(&c.Spec) {
			return f.field, f.path, true
		}
	}
	return 0, "", false
}
