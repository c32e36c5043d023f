// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/test/make"
)

// server answers every query with one value and remembers what it was asked.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
	value string
}

func newServer(t *testing.T, value string) *server {
	s := &server{value: value}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{
			"resultType": "vector", "result": []any{map[string]any{"metric": map[string]string{}, "value": []any{1, s.value}}},
		}})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) last(t *testing.T) *http.Request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	return s.asked[len(s.asked)-1]
}

func TestInlineQueryAsksTheCanarysOwnServer(t *testing.T) {
	prom := newServer(t, "7")
	c := canary()
	c.Spec.MetricsServer = prom.URL
	c.Spec.Service.Name, c.Spec.IngressRef = "web", &flaggerv1.LocalObjectReference{Name: "edge"}
	m := flaggerv1.CanaryMetric{
		Name:              "queue",
		Query:             `{{ name }} {{ namespace }} {{ target }} {{ service }} {{ ingress }} {{ route }} {{ interval }} {{ variables.topic }}`,
		TemplateVariables: map[string]string{"topic": "orders"},
	}
	got, err := checker(t, "http://127.0.0.1:1").Check(t.Context(), c, m)
	if err != nil || got != 7 {
		t.Fatalf("got %v, %v", got, err)
	}
	if diff := cmp.Diff("app staging podinfo web edge podinfo 1m orders", prom.last(t).URL.Query().Get("query")); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

func TestTemplateInAnotherNamespace(t *testing.T) {
	prom := newServer(t, "3")
	tmpl := template(prom.URL)
	tmpl.Spec.Provider.SecretRef = &flaggerv1.SecretReference{Name: "login"}
	tmpl.Spec.Provider.Headers = map[string][]string{"X-Scope-OrgID": {"1"}}
	cases := map[string]struct {
		secret map[string]string
		want   string
	}{
		"a token is a bearer token":              {map[string]string{"token": "t0ken", "username": "u", "password": "p"}, "Bearer t0ken"},
		"a username and password are basic auth": {map[string]string{"username": "u", "password": "p"}, "Basic dTpw"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			k := checker(t, "", tmpl, make.Secret("monitoring", "login", tc.secret))
			for range 3 {
				if got, err := k.Check(t.Context(), canary(), byTemplate()); err != nil || got != 3 {
					t.Fatalf("got %v, %v", got, err)
				}
			}
			req := prom.last(t)
			if diff := cmp.Diff([]string{tc.want}, req.Header.Values("Authorization")); diff != "" {
				t.Errorf("authorization (-want +got):\n%s", diff)
			}
			if req.Header.Get("X-Scope-OrgID") != "1" {
				t.Errorf("headers are %v", req.Header)
			}
			if query := req.URL.Query().Get("query"); query != `errors{ns="staging"}[5m]` {
				t.Errorf("query is %s", query)
			}
		})
	}
}

func TestTemplateTrustsOnlyWhenTold(t *testing.T) {
	prom := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"data":{"resultType":"scalar","result":[1,"1"]}}`)
	}))
	t.Cleanup(prom.Close)
	prom.Config.ErrorLog = nil
	tmpl := template(prom.URL)
	if _, err := checker(t, "", tmpl).Check(t.Context(), canary(), byTemplate()); err == nil {
		t.Error("trusted a certificate that nobody signed")
	}
	tmpl.Spec.Provider.InsecureSkipVerify = true
	if _, err := checker(t, "", tmpl).Check(t.Context(), canary(), byTemplate()); err != nil {
		t.Error(err)
	}
}

func TestErrorsThatOnlyAnEditRepairs(t *testing.T) {
	cases := map[string]struct {
		metric flaggerv1.CanaryMetric
		edit   func(*flaggerv1.Canary, *flaggerv1.MetricTemplate)
		want   string
	}{
		"a provider without builtin checks": {
			flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration},
			func(c *flaggerv1.Canary, _ *flaggerv1.MetricTemplate) { c.Spec.Provider = "appmesh" }, "spec.provider:",
		},
		"a name that means nothing": {
			flaggerv1.CanaryMetric{Name: "cpu"}, nil,
			`spec.analysis.metrics[cpu]: "cpu" is no builtin check (request-success-rate and request-duration are)`,
		},
		"a builtin check with a typo, which had to be looked up": {
			flaggerv1.CanaryMetric{Name: "request-succes-rate"}, nil, "did you mean request-success-rate?",
		},
		"a variable that is missing": {flaggerv1.CanaryMetric{Name: "x", Query: "{{ variables.y }}"}, nil, "spec.analysis.metrics[x].query:"},
		"a query that is no template": {
			byTemplate(), func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) { m.Spec.Query = "{{" },
			"MetricTemplate monitoring/errors: spec.query:",
		},
		"a provider that is not served": {
			byTemplate(), func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) { m.Spec.Provider.Type = "datalog" }, "spec.provider.type:",
		},
		"an address that is no URL": {
			byTemplate(),
			func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) { m.Spec.Provider.Address = "prometheus:9090" }, "spec.provider.address:",
		},
		"a region that Prometheus has not": {
			byTemplate(), func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) { m.Spec.Provider.Region = "eu" }, "spec.provider.region:",
		},
		"a reference to something else": {
			flaggerv1.CanaryMetric{Name: "x", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Kind: "Secret", Name: "x"}},
			nil, "spec.analysis.metrics[x].templateRef.kind:",
		},
		"an interval that is no time": {
			flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration, Interval: "1mx"}, nil, "spec.analysis.metrics[request-duration].interval:",
		},
		"Keptn, which is archived": {
			byTemplate(), func(_ *flaggerv1.Canary, m *flaggerv1.MetricTemplate) { m.Spec.Provider.Type = "keptn" },
			"spec.provider.type: keptn is not served",
		},
		"a metrics server that is no URL": {
			flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration},
			func(c *flaggerv1.Canary, _ *flaggerv1.MetricTemplate) { c.Spec.MetricsServer = "prometheus" }, "spec.metricsServer:",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, tmpl := canary(), template("http://127.0.0.1:1")
			if tc.edit != nil {
				tc.edit(c, tmpl)
			}
			k := checker(t, "http://127.0.0.1:1", tmpl)
			_, checked := k.Check(t.Context(), c, tc.metric)
			c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Metrics: []flaggerv1.CanaryMetric{tc.metric}}
			for _, err := range []error{checked, k.Supports(t.Context(), c)} {
				if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("want a terminal error about %s, got %v", tc.want, err)
				}
			}
		})
	}
}

func TestAMissingSecretIsWorthAnotherTry(t *testing.T) {
	tmpl := template("http://127.0.0.1:1")
	tmpl.Spec.Provider.SecretRef = &flaggerv1.SecretReference{Name: "login"}
	_, err := checker(t, "", tmpl).Check(t.Context(), canary(), byTemplate())
	if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "secretRef") {
		t.Errorf("got %v", err)
	}
}

func TestAWindowReplacesTheInterval(t *testing.T) {
	cases := map[string]struct {
		window time.Duration
		want   string
	}{
		"zero is the metric's own":       {0, "5m"},
		"seconds are written as such":    {45 * time.Second, "45s"},
		"minutes are written in seconds": {2 * time.Minute, "120s"},
		"parts of a second are one more": {2500 * time.Millisecond, "3s"},
		"the least is a second":          {time.Millisecond, "1s"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			prom := newServer(t, "1")
			measure, err := checker(t, prom.URL).Prepare(t.Context(),
				canary(), flaggerv1.CanaryMetric{Name: "x", Interval: "5m", Query: "{{ interval }}"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := measure(t.Context(), tc.window); err != nil {
				t.Fatal(err)
			}
			if got := prom.last(t).URL.Query().Get("query"); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
		})
	}
}

// TestMeasuringReadsNothing: a stage is sampled every few seconds, and none of that
// may reach the API server.
func TestMeasuringReadsNothing(t *testing.T) {
	prom := newServer(t, "3")
	tmpl := template(prom.URL)
	tmpl.Spec.Provider.SecretRef = &flaggerv1.SecretReference{Name: "login"}
	secret := make.Secret("monitoring", "login", map[string]string{"token": "x"})
	reads := 0
	c := interceptor.NewClient(fakeClient(t, tmpl, secret), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, obj, opts...)
		},
	})
	measure, err := metric.NewChecker(c, "", clock.RealClock{}).Prepare(t.Context(), canary(), byTemplate())
	if err != nil || reads != 2 {
		t.Fatalf("%d reads, %v", reads, err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := measure(t.Context(), time.Minute); err != nil || got != 3 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if reads != 2 {
		t.Errorf("measuring read %d objects", reads-2)
	}
}

func TestTemplatesOfOtherNamespacesMayBeForbidden(t *testing.T) {
	prom := newServer(t, "3")
	objects := []client.Object{template(prom.URL)}
	k := checkerWith(t, "", objects, metric.WithoutCrossNamespaceRefs())
	_, err := k.Check(t.Context(), canary(), byTemplate())
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "templateRef.namespace: ") ||
		!strings.Contains(err.Error(), "--no-cross-namespace-refs") {
		t.Errorf("got %v", err)
	}
	c := canary()
	c.Namespace = "monitoring"
	if _, err := k.Check(t.Context(), c, byTemplate()); err != nil {
		t.Errorf("its own namespace: %v", err)
	}
}

// A release began although its template was missing, and was rolled back for that.
func TestWhatIsMissingIsSaidAndMayStillCome(t *testing.T) {
	c := canary()
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Metrics: []flaggerv1.CanaryMetric{byTemplate(), {Name: flaggerv1.RequestDuration}}}
	err := checker(t, "http://127.0.0.1:1").Supports(t.Context(), c)
	if err == nil || errors.Is(err, reconcile.TerminalError(nil)) ||
		!strings.Contains(err.Error(), "spec.analysis.metrics[errors].templateRef: MetricTemplate monitoring/errors does not exist; create it") {
		t.Errorf("got %v", err)
	}
	c.Spec.Analysis.Metrics = append(c.Spec.Analysis.Metrics, flaggerv1.CanaryMetric{Name: "neither"})
	if err := checker(t, "http://127.0.0.1:1").Supports(t.Context(), c); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("what only an edit can mend comes first, got %v", err)
	}
}

func TestAddressesKeepTheirSecrets(t *testing.T) {
	prom := newServer(t, "3")
	address := strings.Replace(prom.URL, "http://", "http://grace:h1dden@", 1) + "/prom/?api_key=als0hidden"
	k := checker(t, address)
	query := flaggerv1.CanaryMetric{Name: "x", Query: "up"}
	if _, err := k.Check(t.Context(), canary(), query); err != nil {
		t.Fatal(err)
	}
	req := prom.last(t)
	if user, password, _ := req.BasicAuth(); user != "grace" || password != "h1dden" || req.URL.Query().Get("api_key") != "als0hidden" ||
		req.URL.Path != "/prom/api/v1/query" {
		t.Errorf("asked %s", req.URL)
	}
	prom.Close()
	for _, address := range []string{address, "http://grace:h1dden@[broken?api_key=als0hidden"} {
		_, err := checker(t, address).Check(t.Context(), canary(), query)
		if err == nil || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "h1dden") {
			t.Errorf("got %v", err)
		}
	}
}

func canary() *flaggerv1.Canary {
	return make.Canary("staging", "app", func(c *flaggerv1.Canary) {
		c.Spec.Provider, c.Spec.TargetRef.Name = "kubernetes", "podinfo"
	})
}

func byTemplate() flaggerv1.CanaryMetric {
	return flaggerv1.CanaryMetric{
		Name: "errors", Interval: "5m",
		TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "errors", Namespace: "monitoring"},
	}
}

func template(address string) *flaggerv1.MetricTemplate {
	return &flaggerv1.MetricTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "errors"},
		Spec: flaggerv1.MetricTemplateSpec{
			Provider: flaggerv1.MetricTemplateProvider{Type: "prometheus", Address: address},
			Query:    `errors{ns="{{ namespace }}"}[{{ interval }}]`,
		},
	}
}

func checker(t *testing.T, address string, objs ...client.Object) *metric.Checker {
	t.Helper()
	return checkerWith(t, address, objs)
}

func checkerWith(t *testing.T, address string, objs []client.Object, options ...metric.Option) *metric.Checker {
	t.Helper()
	return metric.NewChecker(fakeClient(t, objs...), address, clock.RealClock{}, options...)
}

func fakeClient(t *testing.T, objs ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{flaggerv1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).Build()
}

func TestAServerThatDoesNotAnswerIsNamedWithItsSetting(t *testing.T) {
	const nobody = "http://127.0.0.1:1"
	own := canary()
	own.Spec.MetricsServer = nobody
	for name, tc := range map[string]struct {
		canary *flaggerv1.Canary
		want   string
	}{
		"the controller's": {canary(), "(the Prometheus of --metrics-server, as spec.metricsServer names none)"},
		"the canary's own": {own, "(the Prometheus of spec.metricsServer)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := checker(t, nobody).Check(t.Context(), tc.canary, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that is not there named no field, and an empty query was found out by the server.
func TestAnErrorOfAMeasurementNamesTheFieldThatItIsAbout(t *testing.T) {
	inline := flaggerv1.CanaryMetric{Name: "lag", Query: "sum(", Interval: "1m"}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer refusing.Close()
	empty := template(refusing.URL)
	empty.Spec.Query = " {{ if false }}x{{ end }}\n"
	for name, tc := range map[string]struct {
		server  string
		objects []client.Object
		metric  flaggerv1.CanaryMetric
		want    string
	}{
		"a template whose server is not there": {
			objects: []client.Object{template("http://127.0.0.1:1")}, metric: byTemplate(),
			want: "(MetricTemplate monitoring/errors: spec.provider.address)",
		},
		"a template whose query is empty once it is filled in": {
			objects: []client.Object{empty}, metric: byTemplate(),
			want: "MetricTemplate monitoring/errors: spec.query: the query is empty; write one",
		},
		"a query of the canary's own": {server: refusing.URL, metric: inline, want: "(spec.analysis.metrics[lag].query)"},
		"a template that is refused its answer": {
			objects: []client.Object{template(refusing.URL)}, metric: byTemplate(), want: "(MetricTemplate monitoring/errors: spec.query)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := checkerWith(t, tc.server, tc.objects).Check(t.Context(), canary(), tc.metric)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
