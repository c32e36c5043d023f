// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// metricsServer answers all queries with what it is told, "" with nothing, and with an
// error when it is broken.
type metricsServer struct {
	*httptest.Server
	mu      sync.Mutex
	value   string
	broken  bool
	queries []string
}

func newMetricsServer(t *testing.T) *metricsServer {
	t.Helper()
	p := &metricsServer{value: "100"}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queries = append(p.queries, r.FormValue("query"))
		switch {
		case p.broken:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"unavailable","error":"for `+r.Header.Get("Authorization")+`"}`)
		case p.value == "":
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
		default:
			_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,%q]}]}}`, p.value)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *metricsServer) says(value string) { p.set(func() { p.value, p.broken = value, false }) }

func (p *metricsServer) breaks() { p.set(func() { p.broken = true }) }

func (p *metricsServer) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *metricsServer) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.queries...)
}

// latency has staging verified by a latency of at most 500 in three measurements, a minute each.
func latency(changes ...func(*sluicev1.MetricsVerification)) func(*sluicev1.Pipeline) {
	most := 500.0
	return func(p *sluicev1.Pipeline) {
		m := &sluicev1.MetricsVerification{
			Checks: []flaggerv1.CanaryMetric{{
				Name: "latency", Interval: "1m", ThresholdRange: &flaggerv1.CanaryThresholdRange{Max: &most},
				Query: `latency{namespace="{{ namespace }}",of="{{ name }}/{{ target }}",version="{{ variables.SLUICE_VERSION_APP }}"}`,
			}},
			For: metav1.Duration{Duration: 3 * time.Minute}, Interval: metav1.Duration{Duration: time.Minute},
		}
		for _, change := range changes {
			change(m)
		}
		p.Spec.Stages[0].Verify = []sluicev1.Verification{{Metrics: m}}
	}
}

// measures is a process that asks a Prometheus.
func (e *env) measures(p *metricsServer) {
	e.Checker = metric.NewChecker(e.Client, p.URL, e.clock, metric.WithField(MetricsField))
	e.measuring.Patience = harness.Patience // of the test, which waits for the answer
}

// watched is an env whose staging has version 2, applied, and is looked at.
func watched(t *testing.T, changes ...func(*sluicev1.MetricsVerification)) (*env, *metricsServer) {
	t.Helper()
	e, p := newEnv(t), newMetricsServer(t)
	e.measures(p)
	e.reconcile()
	latency(changes...)(e.pipeline)
	e.release("2")
	e.reconcile()
	e.clock.Step(10 * time.Minute)
	e.reconcile()
	if asked := p.asked(); len(asked) > 0 {
		t.Fatalf("before staging is Ready %q was asked", asked)
	}
	e.apply("staging")
	e.reconcile()
	e.want("2", "1")
	return e, p
}

// afterMinutes steps the clock, and reconciles, once a minute.
func (e *env) afterMinutes(n int) {
	e.t.Helper()
	for range n {
		e.clock.Step(time.Minute)
		e.reconcile()
	}
}

func (e *env) stagingSays() string { return e.pipeline.Status.Stages[0].Message }

func TestMetricsVerifyABundle(t *testing.T) {
	e, p := watched(t)
	if asked := p.asked(); len(asked) > 0 {
		t.Errorf("the window is about the version before, and %q was asked", asked)
	}
	e.afterMinutes(2)
	if got := e.stagingSays(); !strings.Contains(got, "2 of 3 looks at its metrics are done") {
		t.Errorf("staging says %q", got)
	}
	result, err := e.Reconcile(t.Context(), e.pipeline)
	if err != nil || result.After != time.Minute || len(p.asked()) != 2 {
		t.Errorf("look again after %s, want 1m; %d looks, %v", result.After, len(p.asked()), err)
	}
	e.want("2", "1")
	e.afterMinutes(1)
	e.want("2", "2")
	e.apply("production")
	e.afterMinutes(5)
	result, err = e.Reconcile(t.Context(), e.pipeline)
	kept := len(e.caches.get(keyOf(e.pipeline, "", "shop")).measurements.all)
	if err != nil || result.After != 10*time.Minute || len(p.asked()) != 3 || kept > 0 {
		t.Errorf("at rest: look again after %s, %d looks, %v", result.After, len(p.asked()), err)
	}
	if want := `latency{namespace="apps",of="shop/staging",version="2"}`; p.asked()[0] != want {
		t.Errorf("asked %s, want %s", p.asked()[0], want)
	}
}

func TestAMetricOutOfItsRangeFailsABundle(t *testing.T) {
	e, p := watched(t, func(m *sluicev1.MetricsVerification) { m.Failures = 1 })
	p.says("612.5")
	e.afterMinutes(1)
	e.want("2", "1")
	p.says("500")
	e.afterMinutes(1)
	e.want("2", "1")
	p.says("501")
	e.afterMinutes(1)
	e.want("1", "1")
	want := "latency is 501, and may be at most 500, in 2 of 3 looks, and 1 may be bad"
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Reason != want {
		t.Errorf("quarantined %+v, want %q", q, want)
	}
}

// A bundle was taken back because the Prometheus was away.
func TestAServerThatIsAwayIsNoFaultOfABundle(t *testing.T) {
	e, p := watched(t)
	e.afterMinutes(1)
	p.breaks()
	e.afterMinutes(60)
	e.want("2", "1")
	if got := e.stagingSays(); !strings.Contains(got, "1 of 3 looks at its metrics are done: measuring latency: ") {
		t.Errorf("staging says %q", got)
	}
	p.says("1")
	e.afterMinutes(2)
	e.want("2", "2")
}

func TestAMetricWithoutValuesFailsWhenItsTimeIsOver(t *testing.T) {
	e, p := watched(t)
	p.says("")
	e.afterMinutes(3)
	e.want("2", "1")
	e.afterMinutes(30)
	e.want("1", "1")
	want := "not verified within 30m: 0 of 3 looks at its metrics are done: latency has no values"
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Reason != want {
		t.Errorf("quarantined %+v", q)
	}
}

// The measurements of a process end with it. A restart shortly before the end of verifyTimeout
// failed the bundle, since there was no time to measure anew.
func TestARestartIsNoFaultOfABundle(t *testing.T) {
	e, p := watched(t)
	e.afterMinutes(2)
	e.clock.Step(16 * time.Minute) // 28 of 30
	e.Reconciler = e.process(e.Client)
	e.measures(p)
	e.pipeline = shop(latency())
	before := len(p.asked())
	e.reconcile()
	e.afterMinutes(2)
	e.want("2", "1")
	if q := e.pipeline.Status.Quarantined; len(q) > 0 {
		t.Fatalf("quarantined %+v", q)
	}
	e.afterMinutes(1)
	e.want("2", "2")
	if n := len(p.asked()) - before; n != 3 {
		t.Errorf("%d looks after the restart", n)
	}
}

// Measurements of the version before made the next one look verified.
func TestLooksAreOfOneLanding(t *testing.T) {
	e, p := watched(t)
	e.afterMinutes(2)
	e.repo.Commit("main", map[string]string{"staging/app.yaml": strings.Replace(marked, ":1", ":3", 1), "production/app.yaml": marked})
	e.fetch()
	e.apply("staging")
	e.reconcile()
	e.afterMinutes(2)
	e.want("3", "1")
	e.afterMinutes(1)
	if !strings.Contains(e.pipeline.Status.Stages[0].Message, "is verified") || len(p.asked()) != 5 {
		t.Errorf("staging says %q after %d looks", e.stagingSays(), len(p.asked()))
	}
}

const secretTemplate = `
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: latency, namespace: monitoring}
spec: {provider: {type: prometheus, address: ADDRESS, secretRef: {name: prometheus}}, query: 'latency{team="{{ variables.team }}"}'}
`

func TestATemplateOfAnotherNamespaceKeepsItsSecret(t *testing.T) {
	e, p := watched(t)
	e.put(strings.Replace(secretTemplate, "ADDRESS", p.URL, 1))
	latency(func(m *sluicev1.MetricsVerification) {
		m.Checks[0].Query, m.Checks[0].TemplateVariables = "", map[string]string{"team": "shop"}
		m.Checks[0].TemplateRef = &flaggerv1.CrossNamespaceObjectReference{Name: "latency", Namespace: "monitoring"}
	})(e.pipeline)
	e.reconcile()
	e.afterMinutes(1)
	if got := e.stagingSays(); !strings.Contains(got, "Secret monitoring/prometheus does not exist") {
		t.Errorf("without the Secret staging says %q", got)
	}
	secret := make.Secret("monitoring", "prometheus", map[string]string{"username": "shop", "password": "hush-hush"})
	if err := e.Client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	p.breaks()
	e.afterMinutes(1)
	if got := e.stagingSays(); !strings.Contains(got, "503") || strings.Contains(got, "hush-hush") ||
		strings.Contains(got, "c2hvcDpodXNoLWh1c2g=") {
		t.Errorf("staging says %q", got)
	}
	p.says("3")
	e.afterMinutes(3)
	e.want("2", "2")
	if asked := p.asked(); asked[len(asked)-1] != `latency{team="shop"}` {
		t.Errorf("asked %q", asked)
	}
}

func TestMetricsThatAreRefused(t *testing.T) {
	check := func(change func(*flaggerv1.CanaryMetric)) func(*sluicev1.MetricsVerification) {
		return func(m *sluicev1.MetricsVerification) { change(&m.Checks[0]) }
	}
	const at = "spec.stages[staging].verify[0].metrics"
	for name, tc := range map[string]struct {
		change func(*sluicev1.MetricsVerification)
		want   string
	}{
		"a builtin check": {
			check(func(m *flaggerv1.CanaryMetric) { m.Name = "request-duration" }),
			at + ".checks[0].name: request-duration compares a canary",
		},
		"no query": {check(func(m *flaggerv1.CanaryMetric) { m.Query = "" }), at + ".checks[0]: exactly one of templateRef and query"},
		"two queries": {check(func(m *flaggerv1.CanaryMetric) { m.TemplateRef = &flaggerv1.CrossNamespaceObjectReference{Name: "a"} }),
			at + ".checks[0]: exactly one of templateRef and query"},
		"another kind of template": {check(func(m *flaggerv1.CanaryMetric) {
			m.Query, m.TemplateRef = "", &flaggerv1.CrossNamespaceObjectReference{Kind: "Secret", Name: "a"}
		}), `.checks[0].templateRef.kind: "Secret" is no MetricTemplate`},
		"a template of another namespace": {check(func(m *flaggerv1.CanaryMetric) {
			m.Query, m.TemplateRef = "", &flaggerv1.CrossNamespaceObjectReference{Name: "a", Namespace: "theirs"}
		}), at + ".checks[latency].templateRef: can't access MetricTemplate 'theirs/a', cross-namespace references have been blocked"},
		"no range": {
			check(func(m *flaggerv1.CanaryMetric) { m.ThresholdRange = nil }),
			".checks[0].thresholdRange: min or max is required",
		},
		"a range without ends": {
			check(func(m *flaggerv1.CanaryMetric) { m.ThresholdRange = &flaggerv1.CanaryThresholdRange{} }),
			"min or max is required",
		},
		"a window that is none":  {check(func(m *flaggerv1.CanaryMetric) { m.Interval = "1mm" }), `.checks[0].interval: "1mm" is not a duration`},
		"a query that is none":   {check(func(m *flaggerv1.CanaryMetric) { m.Query = "{{ nothing }}" }), at + ".checks[latency].query: "},
		"a variable that is not": {check(func(m *flaggerv1.CanaryMetric) { m.Query = "{{ variables.team }}" }), at + ".checks[latency].query: "},
		"more often than a second": {func(m *sluicev1.MetricsVerification) { m.Interval.Duration = time.Millisecond },
			at + ": interval has to be at least 1s"},
		"longer than may be waited": {func(m *sluicev1.MetricsVerification) { m.For.Duration = time.Hour },
			at + ": it takes at least 1h to look at them, and the verifyTimeout of the stage is 30m"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, latency(tc.change))
			e.measures(newMetricsServer(t))
			e.Access.NoCrossNamespaceRefs = true
			if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// One end of a range is enough, a window takes time, and the last measurement has to be before the
// stage's verifyTimeout.
func TestTheBoundsOfVerificationByMetrics(t *testing.T) {
	valid := func() *sluicev1.MetricsVerification {
		return &sluicev1.MetricsVerification{
			Interval: metav1.Duration{Duration: time.Minute}, For: metav1.Duration{Duration: 5 * time.Minute},
			Checks: []flaggerv1.CanaryMetric{
				{Name: "latency", Query: "latency", ThresholdRange: &flaggerv1.CanaryThresholdRange{Max: ptr.To(1.0)}},
				{Name: "success", Query: "success", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: ptr.To(99.0)}},
			},
		}
	}
	takes := promotion.MetricsTime(valid(), longestWindow(valid()))
	for name, tc := range map[string]struct {
		change  func(*sluicev1.MetricsVerification)
		timeout time.Duration
		want    string // of the error; empty is none
	}{
		"one end of a range":            {timeout: takes + time.Second},
		"no timeout":                    {},
		"a look at the time of the end": {timeout: takes, want: "and the verifyTimeout of the stage is"},
		"a window of no time": {
			change: func(v *sluicev1.MetricsVerification) { v.Checks[1].Interval = "0s" }, want: `f.checks[1].interval: "0s" is not a duration`,
		},
		"for no time": {change: func(v *sluicev1.MetricsVerification) { v.For.Duration = 0 }, want: "for more than none"},
	} {
		t.Run(name, func(t *testing.T) {
			v := valid()
			if tc.change != nil {
				tc.change(v)
			}
			err := validateMetrics("f", v, tc.timeout)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
