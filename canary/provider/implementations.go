// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"slices"
	"strings"
)

// Implementation is a product that implements the Gateway API. The proxies of the one that has accepted a route carry its
// users, and have counted their requests.
type Implementation struct {
	Product string
	// Controllers are its names, as in spec.controllerName of a GatewayClass, and in status.parents[].controllerName of
	// the routes that it accepts. One that ends in a slash stands for all names that begin with it.
	Controllers []string
	// Parent is the kind of a route's parents that the row is about; empty is any. Those of a mesh are Services.
	Parent string
	// Queries are what its proxies have counted of each backend; without a folder none of them tells backends apart.
	Queries Queries
	// Needs is what it takes to find what its proxies have counted or, without queries, why that is not to be had. It
	// ends a sentence that says that nothing was found.
	Needs string
}

const scrapeEnvoys = "let Prometheus scrape its Envoys, for envoy_cluster_upstream_rq"

// implementations has a row for each product, by what its sources and documentation say. What has no row is asked
// by its pods, as all are whose proxies count no backends apart.
var implementations = []Implementation{
	{
		Product: "Istio", Controllers: istioControllers, Parent: "Gateway",
		// Gateways report what they send on, also to pods without a sidecar, and waypoints what they receive.
		Queries: Queries{Folder: "istio", Reporter: "source|waypoint"},
		Needs:   "let Prometheus scrape its gateways, for istio_requests_total",
	},
	{
		Product: "Istio", Controllers: istioControllers, Parent: "Service",
		Queries: Queries{Folder: "istio", Reporter: "destination|waypoint"},
		Needs:   "let Prometheus scrape its sidecars and waypoints, for istio_requests_total",
	},
	{
		Product: "Linkerd", Controllers: []string{"linkerd.io/policy-controller"},
		Queries: Queries{Folder: "linkerd"},
		Needs:   "let Prometheus scrape its proxies, for response_total",
	},
	{
		Product: "Kuma", Controllers: []string{"gateways.kuma.io/controller"},
		Queries: Queries{Folder: "kuma", SeeServices: true},
		Needs:   "let Prometheus scrape its sidecars, for envoy_cluster_upstream_rq",
	},
	{
		Product: "Traefik", Controllers: []string{"traefik.io/gateway-controller"},
		// A backend of a rule is a service of its own since 3.7.6; before, rules shared the service of a Service and port.
		Queries: Queries{Folder: "traefik", SeeServices: true,
			Backend: "((http|grpc)route-.+-svc-)?{{ namespace }}-{{ service }}-{{ arm }}(-http)?-[0-9]+(-grpc)?@kubernetesgateway"},
		Needs: "let Prometheus scrape it, for traefik_service_request_duration_seconds, with honorLabels in a ServiceMonitor, which else " +
			"renames the label service",
	},
	{
		Product: "Contour", Controllers: []string{"projectcontour.io/"},
		Queries: clusterQueries("{{ namespace }}_{{ service }}-{{ arm }}_[0-9a-zA-Z-]+"),
		Needs:   scrapeEnvoys,
	},
	{
		Product: "Envoy Gateway", Controllers: []string{"gateway.envoyproxy.io/"},
		Queries: clusterQueries("service/{{ namespace }}/{{ service }}-{{ arm }}/[0-9]+(/[a-z0-9]+)?"),
		Needs: "its Envoys have one cluster for all backends of a rule, which tells the canary from nobody, unless its EnvoyProxy has " +
			"spec.mergeBackends (since 1.9)",
	},
	{
		Product: "kgateway", Controllers: []string{"kgateway.dev/kgateway"},
		Queries: clusterQueries("kube_{{ namespace }}_{{ service }}-{{ arm }}_[0-9]+"),
		Needs:   scrapeEnvoys,
	},
	{
		Product: "Gloo Gateway", Controllers: []string{"solo.io/gloo-gateway"},
		Queries: clusterQueries("kube-svc_{{ namespace }}-{{ service }}-{{ arm }}-[0-9]+_{{ namespace }}"),
		Needs:   scrapeEnvoys,
	},
	{
		Product: "Cilium", Controllers: []string{"io.cilium/gateway-controller"},
		// Clusters of a CiliumEnvoyConfig have its namespace and name before theirs, and Envoy counts a colon as an underscore.
		Queries: clusterQueries(".+/{{ namespace }}_{{ service }}-{{ arm }}_[0-9]+"),
		Needs:   "let Prometheus scrape cilium-envoy, for envoy_cluster_upstream_rq",
	},
	{
		Product: "NGINX Gateway Fabric", Controllers: []string{"gateway.nginx.org/"},
		Needs: "NGINX counts the requests of all backends together",
	},
	{
		Product: "Kong", Controllers: []string{"konghq.com/"},
		Needs: "Kong counts the requests of a rule, which leads to both arms",
	},
	{
		Product: "APISIX", Controllers: []string{"apisix.apache.org/"},
		Needs: "APISIX counts the requests of a route, which leads to both arms",
	},
	{
		Product: "GKE Gateway", Controllers: []string{"networking.gke.io/"},
		Needs: "its load balancers count in Cloud Monitoring, where Prometheus has none of it",
	},
	{
		Product: "AWS", Controllers: []string{"gateway.k8s.aws/", "application-networking.k8s.aws/"},
		Needs: "its load balancers count in CloudWatch, where Prometheus has none of it",
	},
}

// istioControllers are what istiod calls itself in the status of routes, of whatever class their Gateway is. OpenShift has
// a name of its own for it.
var istioControllers = []string{"istio.io/gateway-controller", "istio.io/mesh-controller", "openshift.io/gateway-controller/v1"}

// ImplementedBy returns the implementation of a controller that has accepted a route for a parent of a kind, and whether
// it is known.
func ImplementedBy(controller, parent string) (Implementation, bool) {
	at := slices.IndexFunc(implementations, func(i Implementation) bool {
		return (i.Parent == "" || i.Parent == parent) && slices.ContainsFunc(i.Controllers, func(name string) bool {
			return name == controller || strings.HasSuffix(name, "/") && strings.HasPrefix(controller, name)
		})
	})
	if at < 0 {
		return Implementation{}, false
	}
	return implementations[at], true
}

// Implementations returns all that are known.
func Implementations() []Implementation { return slices.Clone(implementations) }
