// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The providers that the code has to tell from others by their name.
const (
	// Kubernetes is the provider without a router: a Service cannot split traffic.
	Kubernetes = "kubernetes"
	// Partition is that of StatefulSets. No spec names it, see [Of].
	Partition = "partition"
	// Istio stands for whatever mesh counts requests in the way of Envoy.
	Istio = "istio"
	// Linkerd counts the requests of a cluster that has it, whoever splits them.
	Linkerd = "linkerd"
)

// table has a row for each provider; canary/router has what carries them out.
var table = []Provider{
	{
		Name: "apisix", Product: "the APISIX ingress controller", Kinds: kinds("apisix.apache.org", "ApisixRoute"),
		Fields: RouteRef, Needs: RouteRef,
		Queries: Queries{Folder: "apisix", SeeServices: true},
	},
	{
		Name: "contour", Product: "Contour", Kinds: kinds("projectcontour.io", "HTTPProxy"),
		Fields:  AnalysisMatch | Match | Timeout | Retries,
		Queries: clusterQueries("{{ namespace }}_{{ service }}-{{ arm }}_[0-9a-zA-Z-]+"),
	},
	gatewayAPI("v1"),
	gatewayAPI("v1beta1"),
	{
		Name: "gloo", Product: "Gloo Edge",
		Kinds:   slices.Concat(kinds("gateway.solo.io", "RouteTable"), kinds("gloo.solo.io", "Upstream")),
		Fields:  UpstreamRef | AnalysisMatch,
		Queries: clusterQueries("{{ namespace }}-{{ service }}-{{ arm }}upstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+"),
	},
	{
		Name: Istio, Product: "Istio", Kinds: kinds("networking.istio.io", "VirtualService", "DestinationRule"),
		Fields: AnalysisMatch | AnalysisMirror | MirrorWeight | SessionAffinity | Hosts | Match | Rewrite | Headers | CORSPolicy |
			Timeout | Retries | Gateways | Delegation | TrafficPolicy,
		Queries:     Queries{Folder: "istio"},
		ClaimsHosts: true,
		Sidecars:    []string{"istio-proxy", "istio-init"},
	},
	{
		Name: "knative", Product: "Knative Serving", Kinds: kinds(KnativeService.Group, KnativeService.Kind),
		InTarget:        true,
		Cluster:         OfWorkload,
		ServiceOptional: true, // the target is a Service that Knative routes
		Queries:         Queries{Folder: "knative", SeeServices: true},
	},
	{
		Name: Kubernetes, Routing: Nowhere, Cluster: OfWorkload,
		// No user ever reaches the canary: what chooses users is ignored with a
		// warning, as Flagger does.
		Fields:          AnalysisMatch,
		ServiceOptional: true, // a worker has no users
		Queries:         Queries{Folder: "kubernetes", Duration: Seconds},
	},
	{
		Name: "kuma", Product: "Kuma", Kinds: kinds("kuma.io", "TrafficRoute"),
		Queries:  Queries{Folder: "kuma", SeeServices: true},
		Sidecars: []string{"kuma-sidecar"},
	},
	smi(Linkerd, Queries{Folder: "linkerd"}, "linkerd-proxy", "linkerd-init"),
	{
		Name: "nginx", Cluster: OfWorkload, Kinds: ingresses,
		Fields: IngressRef | AnalysisMatch, Needs: IngressRef,
		Queries: Queries{Folder: "nginx", SeeServices: true},
	},
	smi("osm", Queries{Folder: "osm", Names: Underscored}, "envoy"),
	{Name: Partition, Kinds: kinds("apps", statefulSet), InTarget: true, Routing: ByPod, Cluster: OfWorkload},
	{
		Name: "skipper", Cluster: OfWorkload, Kinds: ingresses,
		Fields: IngressRef, Needs: IngressRef,
		Queries: Queries{Folder: "skipper", SeeServices: true, Names: Underscored},
	},
	smi("smi:v1alpha1", Queries{Folder: "istio"}),
	smi("smi:v1alpha2", Queries{Folder: "istio"}),
	smi("smi:v1alpha3", Queries{Folder: "istio"}),
	{
		Name: "traefik", Product: "Traefik", Kinds: kinds("traefik.io", "TraefikService"),
		Queries: Queries{Folder: "traefik", SeeServices: true,
			Backend: "{{ namespace }}-{{ service }}-{{ arm }}-[0-9a-zA-Z-]+@kubernetescrd"},
	},
}

// ingresses are copies of an Ingress of the owner's.
var ingresses = kinds("networking.k8s.io", "Ingress")

func kinds(group string, names ...string) []schema.GroupKind {
	var out []schema.GroupKind
	for _, name := range names {
		out = append(out, schema.GroupKind{Group: group, Kind: name})
	}
	return out
}

// clusterQueries are those that ask Envoy about its clusters; backend names the cluster of a Service.
func clusterQueries(backend string) Queries {
	return Queries{Folder: "envoy", SeeServices: true, Backend: backend}
}

// gatewayAPI is the Gateway API, of which v1 and v1beta1 are two views of the same
// objects. Its implementations count requests each in their own way; the pods themselves are asked where none is known.
func gatewayAPI(version string) Provider {
	return Provider{
		Name: "gatewayapi:" + version, Product: "the Gateway API", Kinds: kinds(gatewayv1.GroupName, HTTPRoute, GRPCRoute),
		Fields: HTTPRouteRef | AnalysisMatch | AnalysisMirror | MirrorWeight | SessionAffinity | GatewayRefs | RouteKind | Hosts | Match |
			Rewrite | Headers | Mirror | CORSPolicy | Timeout | BackendTimeout,
		Queries:     Queries{Folder: "kubernetes", Duration: Seconds, SeeServices: true},
		Implemented: true,
	}
}

// smi is a mesh that implements the Service Mesh Interface. One that is not known
// is taken for Istio, as Flagger does.
func smi(name string, queries Queries, sidecars ...string) Provider {
	return Provider{
		Name: name, Product: "the SMI traffic split (linkerd-smi, OSM)", Kinds: kinds("split.smi-spec.io", "TrafficSplit"),
		Fields: Hosts, ClaimsHosts: true,
		Queries: queries, Sidecars: sidecars,
	}
}

// ended are providers that a Canary may name, but whose product is no more.
var ended = map[string]string{
	"appmesh":         "AWS App Mesh ended in September 2026",
	"appmesh:v1beta2": "AWS App Mesh ended in September 2026",
}

// Ended returns why a provider that the API accepts is no longer served.
func Ended(name string) (why string, ok bool) {
	why, ok = ended[name]
	return why, ok
}

// Accepted returns the names that the API server accepts, sorted: those that a spec may give, and those of what has ended.
func Accepted() []string {
	return slices.Sorted(slices.Values(slices.AppendSeq(Nameable(), maps.Keys(ended))))
}

// With returns the families that honour a field, sorted.
func With(field Fields) []string {
	return families(func(p Provider) bool { return p.Honours(field) })
}

// Needing returns the families that need a field, sorted.
func Needing(field Fields) []string {
	return families(func(p Provider) bool { return p.Needs&field != 0 })
}

func families(fit func(Provider) bool) []string {
	var out []string
	for _, p := range table {
		if fit(p) {
			out = append(out, p.Family())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
