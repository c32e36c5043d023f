// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"github.com/sluice-cd/sluice/canary/provider"
)

// proxyCounters are what a proxy calls the counters of the requests to one arm.
type proxyCounters struct {
	// arm are matchers of the labels that name the arm. Beside what queries may ask for there are
	// {{ arm }}, which is canary or primary, and {{ workload }} and {{ kind }}, the name of the arm's workload and its kind
	// in lower case. {{ backend }} and {{ reporter }} stand for those of [provider.Queries].
	arm string
	// requests is a counter of all requests, and failed are matchers of those that failed.
	requests, failed string
	// durations is the name of a histogram without its suffixes; timed are matchers that only it needs.
	durations, timed string
	unit             provider.Unit
	// pod are labels, one of which names the pod that counts; where no series has any, its
	// address does.
	pod []string
	// sidecar means that a pod has one process that counts, which is scraped at two ports where both a
	// mesh and its users look for it; it counts once.
	sidecar bool
	// noArms is why the proxy does not tell the arms apart.
	noArms string
}

// scrapedPod are the labels that Prometheus gives to pods: by the operator, and by the
// configuration that Flagger and meshes install.
var scrapedPod = []string{"pod", "kubernetes_pod_name"}

// envoy counts the requests to a cluster of endpoints, whose name is up to who configures it.
func envoy(arm string) proxyCounters {
	return proxyCounters{
		arm: arm, requests: "envoy_cluster_upstream_rq", failed: `envoy_response_code=~"5.*"`,
		durations: "envoy_cluster_upstream_rq_time", unit: provider.Milliseconds, pod: scrapedPod,
	}
}

// counterTable has what the proxies of [provider.Queries] count, by their folder. What belongs to
// the canary is as in the queries of the builtin checks, which are Flagger's.
var counterTable = map[string]proxyCounters{
	// The plugin labels a route, and the address of a pod; the route of a release leads to both arms.
	"apisix": {noArms: "APISIX counts the requests of a route, and the route of a release leads to both arms"},
	"envoy":  envoy(`envoy_cluster_name=~"{{ backend }}"`),
	"istio": {
		arm:      `reporter=~"{{ reporter }}", destination_workload_namespace="{{ namespace }}", destination_workload="{{ workload }}"`,
		requests: "istio_requests_total", failed: `response_code=~"5.*"`,
		durations: "istio_request_duration_milliseconds", unit: provider.Milliseconds, pod: scrapedPod, sidecar: true,
	},
	// The route of an arm is a revision, which becomes the primary's when it is promoted: its name is part of who counts.
	"knative": {
		arm: `envoy_cluster_name=~"{{ namespace }}/{{ route }}"`, requests: "envoy_cluster_upstream_rq",
		failed: `envoy_response_code=~"5.*"`, durations: "envoy_cluster_upstream_rq_time", unit: provider.Milliseconds,
		pod: []string{"envoy_cluster_name"},
	},
	"kubernetes": {
		arm:      `kubernetes_namespace="{{ namespace }}", kubernetes_pod_name=~"{{ pods }}"`,
		requests: "http_request_duration_seconds_count", failed: `status=~"5.*"`,
		durations: "http_request_duration_seconds", unit: provider.Seconds, pod: []string{"kubernetes_pod_name"},
	},
	// The sidecar counts what its pod answers, which is in the cluster of its port, and beside that all that the pod asks
	// of others. Kuma's scrape configuration gives every series the Service of the pod, and gave it the label service, too,
	// until version 2.9.
	"kuma": envoy(
		`kuma_io_service=~"{{ service }}-{{ arm }}_{{ namespace }}_svc_[0-9a-zA-Z-]+", envoy_cluster_name=~"localhost_[0-9]+"`),
	"linkerd": {
		arm:      `namespace="{{ namespace }}", {{ kind }}="{{ workload }}", direction="inbound"`,
		requests: "response_total", failed: `classification="failure"`,
		durations: "response_latency_ms", unit: provider.Milliseconds, pod: scrapedPod, sidecar: true,
	},
	// The label canary names the backend of a canary Ingress, if that was chosen.
	"nginx": {
		arm:      `namespace="{{ namespace }}", ingress="{{ ingress }}", canary{{ if eq arm "canary" }}!={{ else }}={{ end }}""`,
		requests: "nginx_ingress_controller_requests", failed: `status=~"5.*"`,
		durations: "nginx_ingress_controller_response_duration_seconds", unit: provider.Seconds, pod: []string{"controller_pod", "pod"},
	},
	// The sidecar of who asks counts. Its labels are part of the name of a counter, which has no dashes.
	"osm": {
		arm:      `destination_namespace="{{ namespace }}", destination_name="{{ workload }}"`,
		requests: "osm_request_total", failed: `response_code=~"5.*"`,
		durations: "osm_request_duration_ms", unit: provider.Milliseconds, pod: []string{"destination_pod"},
	},
	"skipper": {
		arm:      `route=~"kube(ew)?_{{ namespace }}__{{ ingress }}_canary__.*__{{ service }}_{{ arm }}(_[0-9]+)?"`,
		requests: "skipper_response_duration_seconds_count", failed: `code=~"5.."`,
		durations: "skipper_serve_route_duration_seconds", unit: provider.Seconds, pod: scrapedPod,
	},
	"traefik": {
		arm:      `service=~"{{ backend }}"`,
		requests: "traefik_service_request_duration_seconds_count", failed: `code=~"5.."`,
		durations: "traefik_service_request_duration_seconds", unit: provider.Seconds, pod: scrapedPod,
	},
}
