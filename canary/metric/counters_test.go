// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/golden"
)

var (
	rate     = flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}
	duration = flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration}
	then     = time.Date(2026, 11, 2, 12, 0, 0, 250_000_000, time.UTC)
)

// counting is a Prometheus that answers with series; a native histogram is asked for by its functions.
type counting struct {
	*httptest.Server
	classic, native []string // as JSON
	nativeStatus    int
	asked           []*http.Request
}

func newCounting(t *testing.T, classic ...string) *counting {
	s := &counting{classic: classic}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r)
		answer := s.classic
		if strings.Contains(r.URL.Query().Get("query"), "histogram_count(") {
			answer = s.native
			if s.nativeStatus != 0 {
				w.WriteHeader(s.nativeStatus)
				return
			}
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(answer, ","))
	}))
	t.Cleanup(s.Close)
	return s
}

// one is a series of an answer: its labels as name=value, and its value.
func one(labels, value string) string {
	of := map[string]string{}
	for _, label := range strings.Fields(labels) {
		name, value, _ := strings.Cut(label, "=")
		if name == "arm" || name == "class" {
			name = "sluice_" + name
		}
		of[name] = value
	}
	text, _ := json.Marshal(map[string]any{"metric": of, "value": []any{1793620800.25, value}})
	return string(text)
}

// TestCounterQueries has goldens of what is asked for both arms.
func TestCounterQueries(t *testing.T) {
	out := &strings.Builder{}
	for _, name := range provider.WithQueries() {
		c := canary()
		c.Spec.Provider = name
		prom := newCounting(t)
		read, err := checker(t, prom.URL).PrepareCounters(t.Context(), c, rate, duration)
		if err != nil {
			fmt.Fprintf(out, "%s\n\t%v\n", name, err)
			continue
		}
		if _, err := read(t.Context(), then); err != nil {
			t.Fatal(name, err)
		}
		for i, req := range prom.asked {
			if i > 0 && name != "kubernetes" && name != "istio" && name != "skipper" {
				continue // native histograms, once of each kind
			}
			fmt.Fprintf(out, "%s\n%s\n", name, indented(req.URL.Query().Get("query")))
		}
		if when := prom.asked[0].URL.Query().Get("time"); when != "1793620800.250" {
			t.Errorf("%s is asked about %s", name, when)
		}
	}
	golden.Compare(t, filepath.Join("testdata", "counters.txt"), out.String())
}

func indented(query string) string { return "\t" + strings.ReplaceAll(query, "\n", "\n\t") }

// An arm of another canary, or the other arm, must not match.
func TestTheArmsOfACanaryAreToldApart(t *testing.T) {
	for _, tc := range []struct{ provider, label, canary, primary string }{
		{"contour", "envoy_cluster_name", "staging_podinfo-canary_9898", "staging_podinfo-primary_9898"},
		{"gloo", "envoy_cluster_name", "staging-podinfo-canaryupstream-80_gloo-system", "staging-podinfo-primaryupstream-80_gloo-system"},
		{"kuma", "kuma_io_service", "podinfo-canary_staging_svc_9898", "podinfo-primary_staging_svc_9898"},
		{"traefik", "service", "staging-podinfo-canary-80@kubernetescrd", "staging-podinfo-primary-80@kubernetescrd"},
		{"skipper", "route", "kube_staging__podinfo_canary__host___podinfo_canary_80", "kube_staging__podinfo_canary__host___podinfo_primary_80"},
		{"istio", "destination_workload", "podinfo", "podinfo-primary"},
		{"smi:v1alpha2", "destination_workload", "podinfo", "podinfo-primary"},
		{"linkerd", "deployment", "podinfo", "podinfo-primary"},
		{"osm", "destination_name", "podinfo", "podinfo_primary"},
		{"kubernetes", "kubernetes_pod_name", "podinfo-5d4c8f7b9-x7k2p", "podinfo-primary-5d4c8f7b9-x7k2p"},
		{"gatewayapi:v1", "kubernetes_pod_name", "podinfo-5d4c8f7b9-x7k2p", "podinfo-primary-5d4c8f7b9-x7k2p"},
	} {
		t.Run(tc.provider, func(t *testing.T) {
			c := canary()
			c.Spec.Provider = tc.provider
			arms := askedArms(t, checker, c)
			for arm, mine := range map[counter.Arm]string{counter.Canary: tc.canary, counter.Primary: tc.primary} {
				other := map[counter.Arm]string{counter.Canary: tc.primary, counter.Primary: tc.canary}[arm]
				for i, pattern := range arms[arm][tc.label] {
					if !pattern.MatchString(mine) || pattern.MatchString(other) {
						t.Errorf("%s: part %d asks for %s=~%s", arm, i, tc.label, pattern)
					}
				}
				if len(arms[arm][tc.label]) < 4 {
					t.Errorf("%s: only %d parts name its label", arm, len(arms[arm][tc.label]))
				}
			}
		})
	}
}

var matcher = regexp.MustCompile(`(\w+)(=~|=)"([^"]*)"`)

// askedArms returns what each part of the query for an arm matches a label with.
func askedArms(
	t *testing.T, checker func(*testing.T, string, ...client.Object) *metric.Checker, c *flaggerv1.Canary, objs ...client.Object,
) map[counter.Arm]map[string][]*regexp.Regexp {
	t.Helper()
	prom := newCounting(t)
	read, err := checker(t, prom.URL, objs...).PrepareCounters(t.Context(), c, rate, duration)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), then); err != nil {
		t.Fatal(err)
	}
	arms := map[counter.Arm]map[string][]*regexp.Regexp{counter.Canary: {}, counter.Primary: {}}
	for part := range strings.SplitSeq(prom.asked[0].URL.Query().Get("query"), "\nor\n") {
		arm := counter.Canary
		if strings.Contains(part, `"sluice_arm", "primary"`) {
			arm = counter.Primary
		}
		for _, m := range matcher.FindAllStringSubmatch(part, -1) {
			pattern := m[3]
			if m[2] == "=" {
				pattern = regexp.QuoteMeta(pattern)
			}
			arms[arm][m[1]] = append(arms[arm][m[1]], regexp.MustCompile("^(?:"+pattern+")$"))
		}
	}
	return arms
}

func TestThePodsOfAStatefulSetAreOfOneArmOrTheOther(t *testing.T) {
	c := canary()
	c.Spec.TargetRef.Kind = "StatefulSet"
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: rolling(5, 3, nil)}
	arms := askedArms(t, checker, c, set)
	for arm, want := range map[counter.Arm]string{counter.Canary: "^(?:podinfo-(3|4))$", counter.Primary: "^(?:podinfo-(0|1|2))$"} {
		if got := arms[arm]["kubernetes_pod_name"][0].String(); got != want {
			t.Errorf("%s: %s", arm, got)
		}
	}
}

// One Read goes through all steps of a release.
func TestTheArmsOfAStatefulSetAreFollowedFromStepToStep(t *testing.T) {
	c := canary()
	c.Spec.TargetRef.Kind = "StatefulSet"
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "podinfo"}, Spec: rolling(5, 4, nil)}
	api, prom := fakeClient(t, set), newCounting(t)
	read, err := metric.NewChecker(api, prom.URL, clock.RealClock{}).PrepareCounters(t.Context(), c, rate)
	if err != nil {
		t.Fatal(err)
	}
	set.Spec = rolling(5, 2, nil)
	if err := api.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), then); err != nil {
		t.Fatal(err)
	}
	query := prom.asked[0].URL.Query().Get("query")
	for _, want := range []string{`kubernetes_pod_name=~"podinfo-(2|3|4)"`, `kubernetes_pod_name=~"podinfo-(0|1)"`} {
		if !strings.Contains(query, want) {
			t.Errorf("%s is not in %s", want, query)
		}
	}
}

func TestTheArmsOfAKnativeServiceAreRevisions(t *testing.T) {
	c := canary()
	c.Spec.Provider = "knative"
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "podinfo"}
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"namespace": "staging", "name": "podinfo"},
		"status":   map[string]any{"latestCreatedRevisionName": "podinfo-00007"},
	}}
	_, err := checker(t, "http://127.0.0.1:1", service).PrepareCounters(t.Context(), c, rate)
	if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "flagger.app/primary-revision") {
		t.Errorf("without a primary: %v", err)
	}
	service.SetAnnotations(map[string]string{"flagger.app/primary-revision": "podinfo-00005"})
	arms := askedArms(t, checker, c, service)
	for arm, want := range map[counter.Arm]string{counter.Canary: "podinfo-00007", counter.Primary: "podinfo-00005"} {
		if got := arms[arm]["envoy_cluster_name"][0].String(); got != "^(?:staging/"+want+")$" {
			t.Errorf("%s: %s", arm, got)
		}
	}
	// At rest there is one revision, which is not its own canary.
	service.SetAnnotations(map[string]string{"flagger.app/primary-revision": "podinfo-00007"})
	if got := askedArms(t, checker, c, service)[counter.Canary]["envoy_cluster_name"][0].String(); got != "^(?:staging/(none))$" {
		t.Errorf("at rest: %s", got)
	}
}

func TestMetricsWithoutCounters(t *testing.T) {
	custom := template("http://127.0.0.1:1")
	for name, tc := range map[string]struct {
		edit    func(*flaggerv1.Canary, *flaggerv1.MetricTemplate)
		metrics []flaggerv1.CanaryMetric
		want    string
	}{
		"a proxy that counts both arms together": {
			func(c *flaggerv1.Canary, _ *flaggerv1.MetricTemplate) { c.Spec.Provider = "apisix" }, []flaggerv1.CanaryMetric{rate},
			"the route of a release leads to both arms; a MetricTemplate with spec.counters",
		},
		"an inline query": {nil, []flaggerv1.CanaryMetric{{Name: "own", Query: "up"}}, "metrics[own].query: nothing counts"},
		"a template without counters": {
			nil, []flaggerv1.CanaryMetric{byTemplate()}, "MetricTemplate monitoring/errors: spec.counters is missing",
		},
		"no metric":                 {nil, nil, "spec.analysis.metrics: there is none"},
		"a name that is no builtin": {nil, []flaggerv1.CanaryMetric{rate, {Name: "request-duratio"}}, "did you mean request-duration?"},
		"a template beside builtins": {
			nil, []flaggerv1.CanaryMetric{rate, byTemplate()}, "metrics[errors]: only builtin checks are read together",
		},
		"counters of a server that has no vectors": {
			func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) {
				m.Spec.Counters, m.Spec.Provider.Type = &flaggerv1.MetricTemplateCounters{Events: "a", Exposure: "b"}, "graphite"
			}, []flaggerv1.CanaryMetric{byTemplate()}, "spec.counters: has no meaning for provider graphite",
		},
		"a rate is no counter": {
			func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) {
				m.Spec.Counters = &flaggerv1.MetricTemplateCounters{Events: "sum by (pod) (rate (a[1m]))", Exposure: "b"}
			}, []flaggerv1.CanaryMetric{byTemplate()}, "spec.counters: events: it has rate()",
		},
		"an exposure that cannot be filled in": {
			func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) {
				m.Spec.Counters = &flaggerv1.MetricTemplateCounters{Events: "a", Exposure: "{{ nothing }}"}
			}, []flaggerv1.CanaryMetric{byTemplate()}, "spec.counters: exposure: ",
		},
		"events that are filled in with nothing": {
			func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) {
				m.Spec.Counters = &flaggerv1.MetricTemplateCounters{Events: `{{ if eq arm "x" }}a{{ end }}`, Exposure: "b"}
			}, []flaggerv1.CanaryMetric{byTemplate()}, "events: it is empty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, m := canary(), custom.DeepCopy()
			if tc.edit != nil {
				tc.edit(c, m)
			}
			_, err := checker(t, "http://127.0.0.1:1", m).PrepareCounters(t.Context(), c, tc.metrics...)
			if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestQueriesForOneNumberKnowNoArm(t *testing.T) {
	_, err := checker(t, "http://127.0.0.1:1").Check(t.Context(), canary(), flaggerv1.CanaryMetric{Name: "own", Query: "{{ arm }}"})
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got %v", err)
	}
}

func TestReadingsOfCounters(t *testing.T) {
	const pod = " kubernetes_pod_name=podinfo-1 instance=10.0.0.1:80 job=pods"
	sample := func(class counter.Class, over, value float64) counter.Sample {
		return counter.Sample{
			Arm: counter.Canary, Pod: "podinfo-1", Instance: "10.0.0.1:80", Class: class, Over: over, Value: value,
			Scraped: then.Add(-3 * time.Second),
		}
	}
	scraped := one("arm=canary class=scraped"+pod, "1793620797.25")
	for name, tc := range map[string]struct {
		series []string
		want   []counter.Sample
		err    string
	}{
		"nothing": {},
		"requests, errors and buckets": {
			series: []string{
				one("arm=canary class=requests"+pod, "12"), one("arm=canary class=errors"+pod, "3"),
				one("arm=canary class=bucket le=0.25"+pod, "7"), one("arm=canary class=bucket le=+Inf"+pod, "11"), scraped,
			},
			want: []counter.Sample{sample("bucket", 0.25, 7), sample("errors", 0, 3), sample("requests", 0, 12), sample("timed", 0, 11)},
		},
		"a process that two jobs scrape counts once": {
			series: []string{
				one("arm=canary class=requests"+pod, "12"), scraped,
				one("arm=canary class=requests"+pod+"-too", "12"),
			},
			want: []counter.Sample{sample("requests", 0, 12)},
		},
		"a native histogram that has counted nothing": {
			series: []string{one("arm=canary class=bucket le=0.25"+pod, "NaN"), scraped},
			want:   []counter.Sample{sample("bucket", 0.25, 0)},
		},
		"a bucket without a bound": {
			series: []string{one("arm=canary class=bucket le=x"+pod, "7")}, err: `its bound is "x"`,
		},
		"a counter that is no number": {
			series: []string{one("arm=canary class=requests"+pod, "NaN")},
			err:    "the counter of requests of podinfo-1 of the canary is no number",
		},
		"a counter without end": {
			series: []string{one("arm=canary class=requests"+pod, "+Inf")}, err: "the counter of requests of podinfo-1 of the canary is +Inf",
		},
		"a counter below zero": {
			series: []string{one("arm=canary class=requests"+pod, "-1")}, err: "is -1",
		},
		"an arm that was not asked for": {
			series: []string{one("arm=third class=requests"+pod, "1")}, err: `"third" is neither`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			read, err := checker(t, newCounting(t, tc.series...).URL).PrepareCounters(t.Context(), canary(), rate, duration)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(t.Context(), then.Add(time.Nanosecond))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || !got.At.Equal(then) {
				t.Fatalf("%v, %v", got, err)
			}
			if diff := cmp.Diff(tc.want, got.Samples); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The merged port of a sidecar and the port of its Envoy have the same counters.
func TestASidecarThatIsScrapedAtTwoPortsCountsOnce(t *testing.T) {
	c := canary()
	c.Spec.Provider = "istio"
	prom := newCounting(t,
		one("arm=canary class=requests pod=p instance=10.0.0.1:15090 job=envoy", "12"),
		one("arm=canary class=requests pod=p instance=10.0.0.1:15020 job=pods", "12"),
		one("arm=canary class=requests pod=q instance=10.0.0.2:15020 job=pods", "5"))
	read, err := checker(t, prom.URL).PrepareCounters(t.Context(), c, rate)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t.Context(), then)
	if err != nil || len(got.Samples) != 2 || got.Samples[0].Value+got.Samples[1].Value != 17 {
		t.Errorf("%v, %v", got.Samples, err)
	}
}

func TestNativeHistogramsAreFoundOnce(t *testing.T) {
	const pod = " kubernetes_pod_name=podinfo-1 instance=10.0.0.1:80 job=pods"
	prom := newCounting(t)
	prom.native = []string{one("arm=canary class=requests"+pod, "12"), one("arm=canary class=timed"+pod, "12"),
		one("arm=canary class=bucket le=0.25"+pod, "7.5")}
	read, err := checker(t, prom.URL).PrepareCounters(t.Context(), canary(), rate, duration)
	if err != nil {
		t.Fatal(err)
	}
	for look, want := range []int{2, 3, 4} { // one query for each look, and one to find out
		got, err := read(t.Context(), then)
		if err != nil || len(got.Samples) != 3 || got.Samples[0].Over != 0.25 {
			t.Fatalf("%v, %v", got, err)
		}
		if len(prom.asked) != want {
			t.Errorf("%d queries by look %d", len(prom.asked), look)
		}
	}
}

// Prometheus converts what meshes count into native histograms with custom buckets if it is told to.
func TestAMeshMayHaveNativeHistograms(t *testing.T) {
	const pod = " pod=podinfo-1 instance=10.0.0.1:15020 job=pods"
	requests := one("arm=canary class=requests"+pod, "12")
	native := []string{requests, one("arm=canary class=timed"+pod, "12"), one("arm=canary class=bucket le=250"+pod, "7.5")}
	for name, tc := range map[string]struct {
		native          []string
		status          int // of the answer to a query for a native one
		samples, asked  int
		err             string
		laterAsked      int
		ofAnotherSource bool
	}{
		"one that is there":                  {native: native, samples: 3, asked: 2, laterAsked: 3, ofAnotherSource: true},
		"none at all":                        {native: []string{requests}, samples: 1, asked: 2, laterAsked: 3},
		"a server that has no such thing":    {status: http.StatusUnprocessableEntity, samples: 1, asked: 2, laterAsked: 3},
		"a server that is busy says nothing": {status: http.StatusServiceUnavailable, asked: 2, err: "503", laterAsked: 4},
	} {
		t.Run(name, func(t *testing.T) {
			prom := newCounting(t, requests)
			c := canary()
			c.Spec.Provider = "istio"
			read, err := checker(t, prom.URL).PrepareCounters(t.Context(), c, rate, duration)
			if err != nil {
				t.Fatal(err)
			}
			prom.native, prom.nativeStatus = tc.native, tc.status
			got, err := read(t.Context(), then)
			if len(got.Samples) != tc.samples || (err != nil) != (tc.err != "") || !strings.Contains(fmt.Sprint(err), tc.err) {
				t.Errorf("%v, %v", got, err)
			}
			if len(prom.asked) != tc.asked {
				t.Errorf("%d queries", len(prom.asked))
			}
			if tc.samples == 3 && got.Samples[0].Over != 0.25 {
				t.Errorf("the bound is %v", got.Samples[0])
			}
			if _, _ = read(t.Context(), then); len(prom.asked) != tc.laterAsked {
				t.Errorf("%d queries by the second look", len(prom.asked))
			}
			plain, err := checker(t, newCounting(t, native...).URL).PrepareCounters(t.Context(), c, rate, duration)
			if err != nil {
				t.Fatal(err)
			}
			if classic, err := plain(t.Context(), then); err != nil || tc.err == "" && (classic.Source != got.Source) != tc.ofAnotherSource {
				t.Errorf("the sources are %s and %s, %v", classic.Source, got.Source, err)
			}
		})
	}
}

func TestCountersOfATemplate(t *testing.T) {
	prom := newCounting(t,
		one("arm=canary class=requests pod=worker-1", "40"), one("arm=canary class=errors pod=worker-1", "2"),
		one("arm=primary class=requests instance=10.0.0.1:80", "400"))
	tmpl := template(prom.URL)
	tmpl.Spec.Counters = &flaggerv1.MetricTemplateCounters{
		Events:   `sum by (pod) (jobs_failed_total{namespace="{{ namespace }}", pod=~"{{ pods }}"}) # all of them`,
		Exposure: `sum by (pod) (jobs_total{workload="{{ workload }}", arm="{{ arm }}", topic="{{ variables.topic }}"})`,
	}
	m := byTemplate()
	m.TemplateVariables = map[string]string{"topic": "orders"}
	read, err := checker(t, "", tmpl).PrepareCounters(t.Context(), canary(), m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t.Context(), then)
	want := []counter.Sample{
		{Arm: counter.Canary, Pod: "worker-1", Class: counter.Errors, Value: 2},
		{Arm: counter.Canary, Pod: "worker-1", Class: counter.Requests, Value: 40},
		{Arm: counter.Primary, Instance: "10.0.0.1:80", Class: counter.Requests, Value: 400},
	}
	if diff := cmp.Diff(want, got.Samples); err != nil || diff != "" {
		t.Fatalf("%v %s", err, diff)
	}
	if want := "MetricTemplate " + tmpl.Namespace + "/" + tmpl.Name; got.CountedBy != want {
		t.Errorf("counted by %q, want %q", got.CountedBy, want)
	}
	golden.Compare(t, filepath.Join("testdata", "counters-template.txt"), prom.asked[0].URL.Query().Get("query")+"\n")

	// The sum of all pods falls when one goes, which is no reset.
	prom.classic = []string{one("arm=canary class=requests", "40")}
	if _, err := read(t.Context(), then); err == nil || !strings.Contains(err.Error(), "write sum by (pod)") {
		t.Errorf("counters of nobody: %v", err)
	}
}

// A store that Thanos could not ask had the errors of a pod, all of which were new when it was back.
func TestAnAnswerThatIsNotCompleteIsNoReading(t *testing.T) {
	for warning, want := range map[string]string{
		"receive series from Addr: store-1: context deadline exceeded": "its answer is not complete: receive series from",
		"PromQL warning: encountered a mix of histograms and floats":   "",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"status":"success","warnings":[%q],"data":{"resultType":"vector","result":[]}}`, warning)
		}))
		t.Cleanup(server.Close)
		read, err := checker(t, server.URL).PrepareCounters(t.Context(), canary(), rate)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(t.Context(), then); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", warning, err)
		}
	}
}

func TestAnAnswerWithTooManyCountersIsRefused(t *testing.T) {
	series := make([]string, 10_001)
	for i := range series {
		series[i] = one(fmt.Sprintf("arm=canary class=requests kubernetes_pod_name=p-%d", i), "1")
	}
	read, err := checker(t, newCounting(t, series...).URL).PrepareCounters(t.Context(), canary(), rate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), then); err == nil || !strings.Contains(err.Error(), "at most 10000 counters") {
		t.Errorf("got %v", err)
	}
}
