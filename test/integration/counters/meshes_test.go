// SPDX-License-Identifier: Apache-2.0

package counters

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// mesh is how a proxy shows what it has counted.
type mesh struct {
	provider, kind string
	// controller is who has accepted the route of the Gateway API.
	controller string
	// labels are those that its configuration of Prometheus gives to what is scraped of an arm; nil are those of one proxy that has
	// counted for both.
	labels func(namespace, workload string) map[string]string
	// page has %[1]d good requests and %[2]d failed ones; ARM, WORKLOAD and NAMESPACE stand for those of the arm.
	page string
	// dashes is what a label has for a dash.
	dashes string
}

func meshes() map[string]mesh {
	pod := func(namespace, workload string) map[string]string {
		return map[string]string{"namespace": namespace, "pod": workload + "-x7k2p"}
	}
	kuma := func(label string) func(string, string) map[string]string {
		return func(namespace, workload string) map[string]string {
			service := workload
			if service == "app" {
				service = "app-canary"
			}
			labels := pod(namespace, workload)
			labels["kuma_io_service"] = service + "_" + namespace + "_svc_9898"
			labels[label] = labels["kuma_io_service"]
			return labels
		}
	}
	// The pod has asked others, and Prometheus the proxy.
	kumaPage := `envoy_cluster_upstream_rq{envoy_cluster_name="localhost_9898",envoy_response_code="200"} %[1]d
envoy_cluster_upstream_rq{envoy_cluster_name="localhost_9898",envoy_response_code="503"} %[2]d
envoy_cluster_upstream_rq{envoy_cluster_name="backend_apps_svc_80",envoy_response_code="500"} %[1]d
envoy_cluster_upstream_rq{envoy_cluster_name="kuma_envoy_admin",envoy_response_code="200"} %[1]d
`
	linkerd := func(kind string) string {
		return strings.ReplaceAll(`response_total{direction="inbound",KIND="WORKLOAD",classification="success"} %[1]d
response_total{direction="inbound",KIND="WORKLOAD",classification="failure"} %[2]d
response_total{direction="outbound",KIND="WORKLOAD",dst_deployment="backend",classification="failure"} 77
`, "KIND", kind)
	}
	none := func(string, string) map[string]string { return nil }
	osm := func(kind string) string {
		return strings.ReplaceAll(`osm_request_total{source_name="client",destination_namespace="NAMESPACE",destination_kind="KIND",`+
			`destination_name="WORKLOAD",destination_pod="WORKLOAD_x7k2p",response_code="200"} %[1]d
osm_request_total{source_name="client",destination_namespace="NAMESPACE",destination_kind="KIND",`+
			`destination_name="WORKLOAD",destination_pod="WORKLOAD_x7k2p",response_code="500"} %[2]d
`, "KIND", kind)
	}
	return map[string]mesh{
		"Kuma before 2.9":                 {provider: "kuma", labels: kuma("service"), page: kumaPage},
		"Kuma":                            {provider: "kuma", labels: kuma("kuma_io_service"), page: kumaPage},
		"Open Service Mesh":               {provider: "osm", labels: none, dashes: "_", page: osm("Deployment")},
		"Open Service Mesh, of DaemonSet": {provider: "osm", kind: "DaemonSet", labels: none, dashes: "_", page: osm("DaemonSet")},
		"Linkerd":                         {provider: "linkerd", labels: pod, page: linkerd("deployment")},
		"Linkerd, of DaemonSet":           {provider: "linkerd", kind: "DaemonSet", labels: pod, page: linkerd("daemonset")},
	}
}

// gateways are implementations of the Gateway API, one process each.
func gateways() map[string]mesh {
	// The other cluster has what Envoy counts for somebody else.
	envoy := func(cluster, other string) string {
		return strings.NewReplacer("CLUSTER", cluster, "OTHER", other).Replace(
			`envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="CLUSTER"} %[1]d
envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="CLUSTER"} %[2]d
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="CLUSTER"} %[2]d
envoy_cluster_upstream_rq{envoy_response_code="500",envoy_cluster_name="OTHER"} %[1]d
`)
	}
	traefik := func(service string) string {
		return strings.NewReplacer("LABELS", `method="GET",protocol="http",service="`+service+`@kubernetesgateway"`).Replace(
			`traefik_service_requests_total{code="200",LABELS} %[1]d
traefik_service_request_duration_seconds_bucket{code="200",LABELS,le="0.1"} %[1]d
traefik_service_request_duration_seconds_bucket{code="200",LABELS,le="+Inf"} %[1]d
traefik_service_request_duration_seconds_count{code="200",LABELS} %[1]d
traefik_service_request_duration_seconds_bucket{code="502",LABELS,le="+Inf"} %[2]d
traefik_service_request_duration_seconds_count{code="502",LABELS} %[2]d
`)
	}
	istio := func(reporter, other string) string {
		labels := `destination_workload="WORKLOAD",destination_workload_namespace="NAMESPACE"`
		return strings.NewReplacer("REPORTER", reporter, "OTHER", other, "LABELS", labels).Replace(
			`istio_requests_total{reporter="REPORTER",LABELS,response_code="200"} %[1]d
istio_requests_total{reporter="REPORTER",LABELS,response_code="503"} %[2]d
istio_requests_total{reporter="OTHER",LABELS,response_code="503"} %[1]d
`)
	}
	// What the pods themselves have counted, who are asked if a gateway tells nothing.
	pods := `http_request_duration_seconds_count{status="200"} %[1]d
http_request_duration_seconds_count{status="500"} %[2]d
`
	podLabels := func(namespace, workload string) map[string]string {
		return map[string]string{"kubernetes_namespace": namespace, "kubernetes_pod_name": workload + "-5d4c8f7b9-x7k2p"}
	}
	const envoyGateway, contour = "gateway.envoyproxy.io/gatewayclass-controller", "projectcontour.io/gateway-controller"
	return map[string]mesh{
		"Traefik": {controller: "traefik.io/gateway-controller",
			page: traefik("httproute-NAMESPACE-app-gw-gateways-public-ep-web-0-0123456789abcdef0123-svc-NAMESPACE-app-ARM-1")},
		"Traefik before 3.7.6": {controller: "traefik.io/gateway-controller", page: traefik("NAMESPACE-app-ARM-http-80")},
		"Contour":              {controller: contour, page: envoy("NAMESPACE_app-ARM_80", "NAMESPACE_my-app-ARM_80")},
		"Envoy Gateway that merges backends": {controller: envoyGateway,
			page: envoy("service/NAMESPACE/app-ARM/80", "httproute/NAMESPACE/other-ARM/rule/0")},
		"kgateway":     {controller: "kgateway.dev/kgateway", page: envoy("kube_NAMESPACE_app-ARM_80", "kube_NAMESPACE_my-app-ARM_80")},
		"Gloo Gateway": {controller: "solo.io/gloo-gateway", page: envoy("kube-svc_NAMESPACE-app-ARM-80_NAMESPACE", "xds_cluster_ARM")},
		"Cilium": {controller: "io.cilium/gateway-controller",
			page: envoy("gateways/cilium-gateway-public/NAMESPACE_app-ARM_80", "gateways/cilium-gateway-public/NAMESPACE_my-app-ARM_80")},
		"Istio, a gateway":                           {controller: "istio.io/gateway-controller", page: istio("source", "destination")},
		"Istio, a waypoint":                          {controller: "istio.io/gateway-controller", page: istio("waypoint", "destination")},
		"pods behind an Envoy Gateway that does not": {controller: envoyGateway, labels: podLabels, page: pods},
		"pods behind a Contour that is not scraped":  {controller: contour, labels: podLabels, page: pods},
		"pods behind NGINX":                          {controller: "gateway.nginx.org/nginx-gateway-controller", labels: podLabels, page: pods},
	}
}

// The primary's counters of OSM were asked for by a name with a dash, which it never has, and those of Kuma by a label that
// it gives no longer, together with what the pods had asked of others.
func TestMeshesAreReadByTheLabelsThatTheyHave(t *testing.T) {
	all := meshes()
	for name, m := range gateways() {
		m.provider = "gatewayapi:v1"
		all["Gateway API: "+name] = m
	}
	for name, m := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.Require(t)
			s := newPods(t, p, form{})
			s.meshed(t, m)
			c := make.Canary(s.namespace, "app", func(c *flaggerv1.Canary) {
				c.Spec.Provider, c.Spec.TargetRef.Name = m.provider, "app"
				if m.kind != "" {
					c.Spec.TargetRef.Kind = m.kind
				}
			})
			routes := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(
				make.Route(s.namespace, "app", m.controller)).Build()
			checker := metric.NewChecker(p.Client, p.Prometheus, clock.RealClock{}, metric.WithRoutes(routes))
			read, err := checker.PrepareCounters(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate})
			if err != nil {
				t.Fatal(err)
			}
			_, err = harness.Eventually(t.Context(), "the counters of both arms", harness.Patience, func(ctx context.Context) (bool, string) {
				got, err := failing(ctx, read)
				return near(got[counter.Canary], 0.1) && near(got[counter.Primary], 0.05), fmt.Sprint(got, err)
			})
			if err != nil {
				t.Fatal(err)
			}
			passes(t, checker, c)
		})
	}
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-9 }

// passes waits for the number that thresholds are about.
func passes(t *testing.T, checker *metric.Checker, c *flaggerv1.Canary) {
	t.Helper()
	measure, err := checker.Prepare(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate, Interval: "1m"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := harness.Eventually(t.Context(), "a rate of success", harness.Patience, func(ctx context.Context) (bool, string) {
		got, err := measure(ctx, 0)
		return err == nil && math.Abs(got-90) < 0.1, fmt.Sprint(got, err)
	}); err != nil {
		t.Error(err)
	}
}

// failing is the part of the requests of each arm that failed.
func failing(ctx context.Context, read metric.Read) (map[counter.Arm]float64, error) {
	reading, err := read(ctx, time.Now())
	sum := map[counter.Class]map[counter.Arm]float64{counter.Requests: {}, counter.Errors: {}}
	for _, s := range reading.Samples {
		if of, ok := sum[s.Class]; ok {
			of[s.Arm] += s.Value
		}
	}
	part := map[counter.Arm]float64{}
	for arm, requests := range sum[counter.Requests] {
		part[arm] = sum[counter.Errors][arm] / requests
	}
	return part, err
}

// meshed starts a pod of each arm whose proxy is scraped: one in ten requests of the canary fails, and one in twenty of
// the primary's.
func (s *pods) meshed(t *testing.T, m mesh) {
	t.Helper()
	var both []func(n int64) string
	for arm, failed := range map[counter.Arm]int64{counter.Canary: 10, counter.Primary: 5} {
		workload := map[counter.Arm]string{counter.Canary: "app", counter.Primary: "app-primary"}[arm]
		page := m.page
		for word, is := range map[string]string{"NAMESPACE": s.namespace, "WORKLOAD": workload, "ARM": string(arm)} {
			if m.dashes != "" {
				is = strings.ReplaceAll(is, "-", m.dashes)
			}
			page = strings.ReplaceAll(page, word, is)
		}
		render := func(n int64) string { return fmt.Sprintf(page, n*(100-failed), n*failed) }
		if both = append(both, render); m.labels != nil {
			s.scraped(t, workload, m.labels(s.namespace, workload), render)
		}
	}
	if m.labels == nil {
		s.scraped(t, "gateway", map[string]string{"namespace": "gateways", "pod": "gateway-x7k2p"}, both...)
	}
}

// scraped starts a pod that has more to tell at each scrape.
func (s *pods) scraped(t *testing.T, name string, labels map[string]string, pages ...func(n int64) string) {
	t.Helper()
	var scrapes atomic.Int64
	s.start(t, name, func(o *pod) {
		o.labels = labels
		o.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n := scrapes.Add(1)
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			for _, page := range pages {
				_, _ = fmt.Fprint(w, page(n))
			}
		})
	})
}
