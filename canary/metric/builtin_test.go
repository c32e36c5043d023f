// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/golden"
)

// TestBuiltinQueries has goldens of what is sent, on one line each.
func TestBuiltinQueries(t *testing.T) {
	cases := map[string]func(c *flaggerv1.Canary){
		"a Deployment": func(*flaggerv1.Canary) {},
		"names of its own": func(c *flaggerv1.Canary) {
			c.Spec.Service.Name = "web-app"
			c.Spec.IngressRef = &flaggerv1.LocalObjectReference{Name: "edge-1"}
			c.Spec.RouteRef = &flaggerv1.LocalObjectReference{Name: "paths"}
		},
		"a Service":   func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "Service" },
		"a DaemonSet": func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "DaemonSet" },
	}
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, "1")
			k := checker(t, prom.URL)
			out := &strings.Builder{}
			for _, name := range provider.WithQueries() {
				c := canary()
				c.Spec.Provider = name
				edit(c)
				for _, check := range []string{flaggerv1.RequestSuccessRate, flaggerv1.RequestDuration} {
					if _, err := k.Check(t.Context(), c, flaggerv1.CanaryMetric{Name: check}); err != nil {
						t.Fatal(name, check, err)
					}
					query := strings.Join(strings.Fields(prom.last(t).URL.Query().Get("query")), " ")
					fmt.Fprintf(out, "%s %s\n\t%s\n", name, check, query)
				}
			}
			golden.Compare(t, filepath.Join("testdata", "builtin", strings.ReplaceAll(name, " ", "-")+".txt"), out.String())
		})
	}
}

func TestBuiltinUnits(t *testing.T) {
	cases := map[string]struct {
		metric, provider, answer string
		want                     float64
	}{
		"success rate is in percent":              {flaggerv1.RequestSuccessRate, "kubernetes", "99.25", 99.25},
		"pods count in seconds":                   {flaggerv1.RequestDuration, "gatewayapi:v1", "0.5009", 500},
		"a mesh counts in milliseconds":           {flaggerv1.RequestDuration, "istio", "500.9", 500},
		"a query may turn seconds into that":      {flaggerv1.RequestDuration, "traefik", "500.9", 500},
		"a mean is a duration as well":            {flaggerv1.RequestDuration, "nginx", "12.5", 12},
		"without a provider it is the default":    {flaggerv1.RequestSuccessRate, "", "100", 100},
		"without a provider seconds are the unit": {flaggerv1.RequestDuration, "", "0.0019", 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, tc.answer)
			c := canary()
			c.Spec.Provider = tc.provider
			got, err := checker(t, prom.URL+"/prom").Check(t.Context(), c, flaggerv1.CanaryMetric{Name: tc.metric, Interval: "30s"})
			if err != nil || got != tc.want {
				t.Fatalf("want %v, got %v, %v", tc.want, got, err)
			}
			if req := prom.last(t); req.URL.Path != "/prom/api/v1/query" {
				t.Errorf("asked %s", req.URL.Path)
			}
		})
	}
}

func TestWhoseProxyCounts(t *testing.T) {
	cases := map[string]struct {
		fallback, provider string
		port               int32
		want               string
		kind               string
	}{
		"a canary without a provider has the controller's":   {"istio", "", 80, "istio_requests_total", "Deployment"},
		"a canary's own provider comes first":                {"istio", "nginx", 80, "nginx_ingress_controller_requests", "Deployment"},
		"in a cluster with Linkerd it counts for all":        {"linkerd", "smi:v1alpha2", 80, "response_total", "Deployment"},
		"Linkerd counts what the Gateway API splits":         {"linkerd", "gatewayapi:v1", 80, "response_total", "Deployment"},
		"SMI without Linkerd is taken for Istio":             {"smi:v1alpha2", "", 80, "istio_requests_total", "Deployment"},
		"a worker has no router, so that its pods count":     {"istio", "", 0, "http_request_duration_seconds_count", "Deployment"},
		"a worker that names a mesh is counted by that mesh": {"kubernetes", "istio", 0, "istio_requests_total", "Deployment"},
		"the pods of a StatefulSet count for themselves":     {"istio", "", 80, "http_request_duration_seconds_count", "StatefulSet"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, "1")
			c := canary()
			c.Spec.Provider, c.Spec.Service.Port, c.Spec.TargetRef.Kind = tc.provider, tc.port, tc.kind
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: rolling(3, 2, nil)}
			k := checkerWith(t, prom.URL, []client.Object{set}, metric.WithProvider(tc.fallback))
			if _, err := k.Check(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}); err != nil {
				t.Fatal(err)
			}
			if query := prom.last(t).URL.Query().Get("query"); !strings.Contains(query, tc.want) {
				t.Errorf("asked for %s", query)
			}
		})
	}
}

// TestADaemonSetIsNotMeasuredByItsPrimary: Flagger's pattern for the pods of a
// Deployment matches <target>-primary-x7k2p, which are those that users trust.
func TestADaemonSetIsNotMeasuredByItsPrimary(t *testing.T) {
	prom := newServer(t, "1")
	c := canary()
	c.Spec.TargetRef.Kind = "DaemonSet"
	query := ask(t, prom, checker(t, prom.URL), c, flaggerv1.CanaryMetric{Name: "own", Query: `up{pod=~"{{ pods }}"}`})
	if want := `up{pod=~"podinfo-[0-9a-zA-Z]+"}`; query != want {
		t.Errorf("want %s, got %s", want, query)
	}
}

func TestPodsAreThoseOfTheCanary(t *testing.T) {
	cases := map[string]struct {
		kind, pod string
		want      bool
	}{
		"a pod of a Deployment":                 {"Deployment", "podinfo-5d4f8c7b9d-x7k2p", true},
		"a pod of the primary of a Deployment":  {"Deployment", "podinfo-primary-5d4f8c7b9d-x7k2p", false},
		"a pod of another Deployment":           {"Deployment", "podinfo-worker-5d4f8c7b9d-x7k2p", false},
		"a pod of a DaemonSet":                  {"DaemonSet", "podinfo-x7k2p", true},
		"a pod of the primary of a DaemonSet":   {"DaemonSet", "podinfo-primary-x7k2p", false},
		"a pod that only begins like the other": {"DaemonSet", "podinfo2-x7k2p", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, "1")
			c := canary()
			c.Spec.TargetRef.Kind = tc.kind
			pattern := ask(t, prom, checker(t, prom.URL), c, flaggerv1.CanaryMetric{Name: "own", Query: "{{ pods }}"})
			// Prometheus anchors its patterns.
			if got := regexp.MustCompile("^(?:" + pattern + ")$").MatchString(tc.pod); got != tc.want {
				t.Errorf("%s matches %s: %v", pattern, tc.pod, got)
			}
		})
	}
}

func TestAStatefulSetIsMeasuredByItsUpdatedPods(t *testing.T) {
	cases := map[string]struct {
		spec appsv1.StatefulSetSpec
		want string
	}{
		"those from the partition on": {rolling(5, 3, nil), "podinfo-(3|4)"},
		"ordinals may start anywhere": {
			rolling(3, 1, &appsv1.StatefulSetOrdinals{Start: 10}),
			"podinfo-(11|12)",
		},
		"a partition beyond all has no pods, and the pattern matches none": {rolling(2, 7, nil), "podinfo-(none)"},
		"without a partition all of them":                                  {appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2)}, "podinfo-(0|1)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, "1")
			c := canary()
			c.Spec.TargetRef.Kind = "StatefulSet"
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: tc.spec}
			query := ask(t, prom, checker(t, prom.URL, set), c, flaggerv1.CanaryMetric{Name: "own", Query: "{{ pods }}"})
			if query != tc.want {
				t.Errorf("want %s, got %s", tc.want, query)
			}
		})
	}
}

func TestAStatefulSetOfAnyNumberOfReplicasTakesNoMemory(t *testing.T) {
	c := canary()
	c.Spec.TargetRef.Kind = "StatefulSet"
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: rolling(math.MaxInt32, 0, nil)}
	prom := newServer(t, "1")
	measure, err := checker(t, prom.URL, set).Prepare(t.Context(), c, flaggerv1.CanaryMetric{Name: "own", Query: "{{ pods }}"})
	if err == nil {
		_, err = measure(t.Context(), 0)
	}
	if err == nil || !strings.Contains(err.Error(), "at most 1000 pods") {
		t.Errorf("error %v", err)
	}
}

// TestAStatefulSetIsFollowedFromStepToStep: one Measure samples a whole analysis.
func TestAStatefulSetIsFollowedFromStepToStep(t *testing.T) {
	prom := newServer(t, "1")
	c := canary()
	c.Spec.TargetRef.Kind = "StatefulSet"
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: rolling(5, 1000000, nil)}
	api := fakeClient(t, set)
	measure, err := metric.NewChecker(api, prom.URL, clock.RealClock{}).Prepare(t.Context(), c, flaggerv1.CanaryMetric{
		Name:  "own",
		Query: "{{ pods }}",
	})
	if err != nil {
		t.Fatal(err)
	}
	for partition, want := range map[int32]string{4: "podinfo-(4)", 2: "podinfo-(2|3|4)"} {
		set.Spec = rolling(5, partition, nil)
		if err := api.Update(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if _, err := measure(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := prom.last(t).URL.Query().Get("query"); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
}

func rolling(replicas, partition int32, ordinals *appsv1.StatefulSetOrdinals) appsv1.StatefulSetSpec {
	return appsv1.StatefulSetSpec{Replicas: &replicas, Ordinals: ordinals, UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
		RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition},
	}}
}

func TestAKnativeServiceIsMeasuredByItsNewestRevision(t *testing.T) {
	prom := newServer(t, "1")
	c := canary()
	c.Spec.Provider = "knative"
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "podinfo"}
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"namespace": "staging", "name": "podinfo"},
	}}
	builtin := flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}
	if _, err := checker(t, prom.URL, service).Check(t.Context(), c, builtin); err == nil ||
		!strings.Contains(err.Error(), "no revision yet") {
		t.Errorf("got %v", err)
	}
	service.Object["status"] = map[string]any{"latestCreatedRevisionName": "podinfo-00007"}
	query := ask(t, prom, checker(t, prom.URL, service), c, builtin)
	if !strings.Contains(query, `envoy_cluster_name=~"staging/podinfo-00007"`) {
		t.Errorf("got %s", query)
	}
	own := flaggerv1.CanaryMetric{Name: "own", Query: "{{ route }}"}
	if query := ask(t, prom, checker(t, prom.URL, service), c, own); query != "podinfo-00007" {
		t.Errorf("got %s", query)
	}
}

// ask returns the query that a check sends.
func ask(t *testing.T, prom *server, k *metric.Checker, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) string {
	t.Helper()
	if _, err := k.Check(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	return prom.last(t).URL.Query().Get("query")
}
