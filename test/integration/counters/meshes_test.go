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

	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// mesh is how a proxy shows what it has counted.
type mesh struct {
	provider, kind string
	// labels are those that its configuration of Prometheus gives to what is scraped of an arm.
	labels func(namespace, workload string) map[string]string
	// page has %[1]d good requests and %[2]d failed ones; WORKLOAD and NAMESPACE stand for those of the arm.
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

// The primary's counters of OSM were asked for by a name with a dash, which it never has, and those of Kuma by a label that
// it gives no longer, together with what the pods had asked of others.
func TestMeshesAreReadByTheLabelsThatTheyHave(t *testing.T) {
	for name, m := range meshes() {
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
			checker := metric.NewChecker(p.Client, p.Prometheus, clock.RealClock{})
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
	for workload, failed := range map[string]int64{"app": 10, "app-primary": 5} {
		page := m.page
		for word, is := range map[string]string{"NAMESPACE": s.namespace, "WORKLOAD": workload} {
			if m.dashes != "" {
				is = strings.ReplaceAll(is, "-", m.dashes)
			}
			page = strings.ReplaceAll(page, word, is)
		}
		var scrapes atomic.Int64
		s.start(t, workload, func(o *pod) {
			o.labels = m.labels(s.namespace, workload)
			o.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := scrapes.Add(1)
				w.Header().Set("Content-Type", "text/plain; version=0.0.4")
				_, _ = fmt.Fprintf(w, page, n*(100-failed), n*failed)
			})
		})
	}
}
