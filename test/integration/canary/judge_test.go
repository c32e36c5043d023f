// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	judgecli "github.com/sluice-cd/sluice/cmd/sluice/cli/judge"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/harness"
)

// users are those of a service. They go where the route says, and a real Prometheus scrapes the pods that
// answer them: one of the canary, and two of the primary.
type users struct {
	w    *testEnv
	pods map[string]*prometheus.CounterVec
	// failing are so many in a thousand of the canary's requests; thirty of the primary's do.
	failing atomic.Int64
}

const failingAtPrimary = 30

// newUsers send requests until the test ends.
func newUsers(t *testing.T, w *testEnv, p *harness.Playground) *users {
	t.Helper()
	u := &users{w: w, pods: map[string]*prometheus.CounterVec{}}
	type target struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var targets []target
	for pod, arm := range map[string]string{"podinfo-a": "canary", "podinfo-primary-a": "primary", "podinfo-primary-b": "primary"} {
		registry := prometheus.NewRegistry()
		u.pods[pod] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "judged_requests_total"}, []string{"code"})
		registry.MustRegister(u.pods[pod])
		server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		t.Cleanup(server.Close)
		targets = append(targets, target{[]string{server.Listener.Addr().String()},
			map[string]string{"judged_namespace": w.namespace, "judged_arm": arm, "kubernetes_pod_name": pod}})
	}
	text, err := json.Marshal(targets)
	file := filepath.Join(p.PrometheusTargets, w.namespace+".json")
	if err == nil {
		err = os.WriteFile(file+".partial", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".partial", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.send(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return u
}

// send sends two thousand requests a second.
func (u *users) send(ctx context.Context) {
	random := rand.New(rand.NewPCG(1, 2))
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	weight := 0
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if n%5 == 0 {
			weight = u.weight(ctx, weight)
		}
		for range 100 {
			pod, failing := "podinfo-a", u.failing.Load()
			if random.IntN(100) >= weight {
				pod, failing = []string{"podinfo-primary-a", "podinfo-primary-b"}[random.IntN(2)], failingAtPrimary
			}
			code := "200"
			if random.Int64N(1000) < failing {
				code = "500"
			}
			u.pods[pod].WithLabelValues(code).Inc()
		}
	}
}

// weight is the canary's in the route; while nobody can say, it is what it was.
func (u *users) weight(ctx context.Context, was int) int {
	route := &gatewayv1.HTTPRoute{}
	if u.w.c.Get(ctx, client.ObjectKey{Namespace: u.w.namespace, Name: "podinfo"}, route) != nil {
		return was
	}
	return int(ptr.Deref(route.Spec.Rules[0].BackendRefs[1].Weight, 0))
}

// counted is a MetricTemplate with the counters of the users.
func (w *testEnv) counted(p *harness.Playground) *flaggerv1.MetricTemplate {
	where := `{judged_namespace="{{ namespace }}", judged_arm="{{ arm }}"`
	return &flaggerv1.MetricTemplate{ObjectMeta: metav1.ObjectMeta{Name: "requests"}, Spec: flaggerv1.MetricTemplateSpec{
		Provider: flaggerv1.MetricTemplateProvider{Type: "prometheus", Address: p.Prometheus},
		Query:    "vector(1)",
		Counters: &flaggerv1.MetricTemplateCounters{
			Events:   `sum by (kubernetes_pod_name) (judged_requests_total` + where + `, code="500"})`,
			Exposure: `sum by (kubernetes_pod_name) (judged_requests_total` + where + `})`,
		}}}
}

// TestCanaryIsComparedWithItsPrimary by a real Prometheus: thresholds find nothing about a service that fails three
// requests in a hundred all the time.
func TestCanaryIsComparedWithItsPrimary(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	p := harness.Installed(t)
	w := newTestEnv(t, log)
	w.create(w.counted(p))
	w.podinfo(func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Interval = "3s"
		c.Spec.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "1s", Disabled: true}
		c.Spec.Analysis.Judge = &flaggerv1.CanaryJudge{Regression: "3", MinSamples: ptr.To(int64(100)),
			TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "requests"}}
	})
	u := newUsers(t, w, p)
	w.recorded(p)

	u.failing.Store(150)
	w.apply("podinfo:bad")
	w.phase(flaggerv1.CanaryPhaseFailed)
	// How much worse it is at least depends on how many errors the first window has that decides.
	reason := w.canary().Status.History[0].Reason
	if w.weight() != 0 || !strings.HasPrefix(reason, "errors ") || !strings.Contains(reason, "times the primary's (") {
		t.Errorf("weight %d, reason %q", w.weight(), reason)
	}
	if !log.has("Rolling back podinfo." + w.namespace + " at once, errors ") {
		t.Errorf("told %q", log.said)
	}

	u.failing.Store(failingAtPrimary)
	w.deserted(p)
	w.apply("podinfo:good")
	w.until("evidence in the status", func() bool {
		s := w.canary().Status
		return s.Judge != nil && s.Judge.Window != nil && s.Judge.Revision == s.Applied() && s.CanaryWeight > 0
	})
	w.stop()
	w.start()
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	judged := w.canary().Status.Judge
	if len(judged.History) != 2 || judged.History[0].Outcome != flaggerv1.JudgePass || judged.History[1].Outcome != flaggerv1.JudgeFail {
		t.Errorf("verdicts %+v", judged.History)
	}
	if test := judged.SelfTest; test == nil || test.Windows == 0 || test.Failed {
		t.Errorf("self-test %+v", test)
	}
	w.replays(p)
}

// recorded waits until the server has some seconds of the primary at rest: how much two or three windows vary is mostly
// chance, by which all evidence is divided.
func (w *testEnv) recorded(p *harness.Playground) {
	w.t.Helper()
	w.found(p, "twelve samples of the primary",
		fmt.Sprintf(`min(count_over_time(judged_requests_total{judged_namespace=%q, judged_arm="primary"}[5m])) >= 12`, w.namespace))
}

// deserted waits until the server has some seconds without users of the canary: a release that follows in the second in
// which the one before is rolled back begins with a window of both.
func (w *testEnv) deserted(p *harness.Playground) {
	w.t.Helper()
	w.found(p, "a canary without users",
		fmt.Sprintf(`sum(increase(judged_requests_total{judged_namespace=%q, judged_arm="canary"}[6s])) == 0`, w.namespace))
}

// found waits until a query has an answer.
func (w *testEnv) found(p *harness.Playground, what, query string) {
	w.t.Helper()
	w.until(what, func() bool {
		got, err := http.Get(p.Prometheus + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return false
		}
		defer func() { _ = got.Body.Close() }()
		var answer struct {
			Data struct{ Result []any }
		}
		return json.NewDecoder(got.Body).Decode(&answer) == nil && len(answer.Data.Result) > 0
	})
}

// replays asks what the judge would have done, of the server that has recorded it.
func (w *testEnv) replays(p *harness.Playground) {
	w.t.Helper()
	var out, said bytes.Buffer
	cmd := judgecli.Command("test")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	cmd.SetArgs([]string{"replay", "--prometheus", p.Prometheus, "--canary", "podinfo", "-n", w.namespace, "-o", "json",
		"--since", "10m", "--every", "1s", "--scan", "5s", "--rest", "10s", "--gap", "10s"})
	if err := cmd.ExecuteContext(w.t.Context()); err != nil {
		w.t.Fatalf("%v: %s", err, said.String())
	}
	var releases report.List[report.ReplayedRelease]
	if err := json.Unmarshal(out.Bytes(), &releases); err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, r := range releases.Items {
		got = append(got, r.Was+": "+r.Judge.Outcome)
	}
	if want := []string{"promoted: promoted", "failed: rolled back"}; !slices.Equal(got, want) {
		w.t.Errorf("the releases were, and would have been, %q, want %q:\n%s", got, want, out.String())
	}
}

// TestWhatTheJudgeCannotDoIsRefusedByTheAPIServer says which settings never get as far as the controller.
func TestWhatTheJudgeCannotDoIsRefusedByTheAPIServer(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	namespace := p.NewNamespace(t, "judge-", nil)
	for want, judge := range map[string]flaggerv1.CanaryJudge{
		"":                               {Alpha: "0.001", Beta: "0.1", Regression: "1.5", Tolerated: "1.25", Warmup: "30s"},
		"must be from 0.000001 to 0.5":   {Alpha: "0.9"},
		"spec.analysis.judge.beta":       {Beta: "1e-3"},
		"must be more than 1":            {Regression: "0.5"},
		"must be from 1 to 10":           {Tolerated: "11"},
		"must be more than tolerated":    {Tolerated: "2.5"},
		"spec.analysis.judge.minSamples": {MinSamples: ptr.To(int64(0))},
		"spec.analysis.judge.warmup":     {Warmup: "soon"},
		"spec.analysis.judge.metrics[0]": {Metrics: []flaggerv1.JudgeMetric{"feelings"}},
		"with templateRef, metrics is errors": {Metrics: []flaggerv1.JudgeMetric{flaggerv1.JudgeLatency},
			TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "t"}},
		"spec.analysis.judge.onInconclusive": {OnInconclusive: "wait"},
	} {
		c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-", Namespace: namespace}}
		c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
		c.Spec.Service.Port = 80
		c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1m", Threshold: 1, StepWeight: 10, Judge: &judge}
		err := p.Client.Create(t.Context(), c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", judge, err, want)
		}
	}
}
