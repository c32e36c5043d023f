// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// visit is one answered request.
type visit struct {
	namespace, service, target, ingress string
	daemonset                           bool
	canary                              bool
	status                              int
	took                                time.Duration
}

// visits are counted as each proxy counts them, by the names and labels of its
// metrics. Every visit is counted by all proxies: only the story's own is asked.
type visits struct {
	registry   *prometheus.Registry
	counters   map[string]*prometheus.CounterVec
	histograms map[string]*prometheus.HistogramVec
}

func newVisits() *visits {
	v := &visits{
		registry:   prometheus.NewRegistry(),
		counters:   map[string]*prometheus.CounterVec{},
		histograms: map[string]*prometheus.HistogramVec{},
	}
	v.counter("istio_requests_total", "reporter", "destination_workload_namespace", "destination_workload", "response_code")
	v.milliseconds("istio_request_duration_milliseconds", "reporter", "destination_workload_namespace", "destination_workload")
	v.seconds("http_request_duration_seconds", "kubernetes_namespace", "kubernetes_pod_name", "namespace", "app", "path", "status")
	v.counter("nginx_ingress_controller_requests", "namespace", "ingress", "canary", "status")
	v.seconds("traefik_service_request_duration_seconds", "service", "code")
	v.counter("envoy_cluster_upstream_rq", "envoy_cluster_name", "service", "envoy_response_code")
	v.milliseconds("envoy_cluster_upstream_rq_time", "envoy_cluster_name", "service")
	v.counter("response_total", "namespace", "deployment", "direction", "classification")
	v.milliseconds("response_latency_ms", "namespace", "deployment", "direction")
	v.seconds("skipper_response_duration_seconds", "route", "code")
	v.seconds("skipper_serve_route_duration_seconds", "route")
	v.counter("apisix_http_status", "route", "code")
	v.milliseconds("apisix_http_latency", "type", "route")
	return v
}

func (v *visits) counter(name string, labels ...string) {
	v.counters[name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: "Requests."}, labels)
	v.registry.MustRegister(v.counters[name])
}

func (v *visits) seconds(name string, labels ...string) {
	v.histogram(name, []float64{0.005, 0.02, 0.05, 0.1, 0.5, 1, 2, 5}, labels)
}

func (v *visits) milliseconds(name string, labels ...string) {
	v.histogram(name, []float64{5, 20, 50, 100, 500, 1000, 2000, 5000}, labels)
}

func (v *visits) histogram(name string, buckets []float64, labels []string) {
	v.histograms[name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: "Durations.", Buckets: buckets}, labels)
	v.registry.MustRegister(v.histograms[name])
}

var nonWord = regexp.MustCompile(`\W`)

// count counts a visit. The labels are those that a proxy derives from the names
// of the objects that a Canary leads to.
func (v *visits) count(x visit) {
	workload, service, status := x.target+"-primary", x.service+"-primary", strconv.Itoa(x.status)
	ingress, canary, route := x.ingress, "", x.ingress
	if x.canary {
		workload, service = x.target, x.service+"-canary"
		canary, route = x.namespace+"-"+service+"-80", x.ingress+"-canary"
	}
	pod := workload + "-6d4cf56db6-x2k4p"
	if x.daemonset {
		pod = workload + "-x2k4p"
	}
	seconds, milliseconds := x.took.Seconds(), float64(x.took.Milliseconds())
	for _, reporter := range []string{"source", "destination"} {
		v.counters["istio_requests_total"].WithLabelValues(reporter, x.namespace, workload, status).Inc()
		v.histograms["istio_request_duration_milliseconds"].WithLabelValues(reporter, x.namespace, workload).Observe(milliseconds)
	}
	v.histograms["http_request_duration_seconds"].WithLabelValues(x.namespace, pod, x.namespace, workload, "root", status).Observe(seconds)
	v.counters["nginx_ingress_controller_requests"].WithLabelValues(x.namespace, ingress, canary, status).Inc()
	v.histograms["traefik_service_request_duration_seconds"].WithLabelValues(
		fmt.Sprintf("%s-%s-80@kubernetescrd", x.namespace, service), status).Observe(seconds)
	v.envoy(x, service, status, milliseconds)
	classification := "success"
	if x.status >= 500 {
		classification = "failure"
	}
	v.counters["response_total"].WithLabelValues(x.namespace, workload, "inbound", classification).Inc()
	v.histograms["response_latency_ms"].WithLabelValues(x.namespace, workload, "inbound").Observe(milliseconds)
	path := nonWord.ReplaceAllString(fmt.Sprintf("kube_%s__%s__app_example_com____%s", x.namespace, route, service), "_")
	v.histograms["skipper_response_duration_seconds"].WithLabelValues(path, status).Observe(seconds)
	v.histograms["skipper_serve_route_duration_seconds"].WithLabelValues(path).Observe(seconds)
	apisix := fmt.Sprintf("%s_%s-%s_method", x.namespace, x.target, service)
	v.counters["apisix_http_status"].WithLabelValues(apisix, status).Inc()
	v.histograms["apisix_http_latency"].WithLabelValues("request", apisix).Observe(milliseconds)
}

// envoy counts for the proxies that are made of it: they differ in how they name
// a cluster.
func (v *visits) envoy(x visit, service, status string, milliseconds float64) {
	for _, names := range [][2]string{
		{fmt.Sprintf("%s_%s_80", x.namespace, service), ""},                         // Contour
		{fmt.Sprintf("%s-%supstream-80_%s", x.namespace, service, x.namespace), ""}, // Gloo
		{"localhost_9898", fmt.Sprintf("%s_%s_svc_9898", service, x.namespace)},     // Kuma
	} {
		v.counters["envoy_cluster_upstream_rq"].WithLabelValues(names[0], names[1], status).Inc()
		v.histograms["envoy_cluster_upstream_rq_time"].WithLabelValues(names[0], names[1]).Observe(milliseconds)
	}
}
