// SPDX-License-Identifier: Apache-2.0

// Package counters reads counters of both arms from a real Prometheus, which scrapes pods that the tests
// serve: processes that restart, come and go, and count in both kinds of histograms.
package counters

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// form is how pods count durations.
type form struct{ native bool }

// pods are scraped as the pods of a canary and its primary in a namespace that nobody else has.
type pods struct {
	namespace, file string
	form            form
	all             map[string]*pod
}

// pod is a process with an address of its own.
type pod struct {
	server *httptest.Server
	mu     sync.Mutex
	serve  http.Handler
	count  *prometheus.HistogramVec
	labels map[string]string // of all that is scraped, instead of the pod's
}

// newPods serves no pods yet. Prometheus reads native histograms in a job of their own only.
func newPods(t *testing.T, p *harness.Playground, f form) *pods {
	t.Helper()
	namespace := fmt.Sprintf("counters-%d", time.Now().UnixNano())
	s := &pods{namespace: namespace, file: filepath.Join(p.PrometheusTargets, namespace+".json"), form: f, all: map[string]*pod{}}
	if f.native {
		s.file = filepath.Join(t.TempDir(), "native.json")
		scrapeNative(t, p, s.file)
	}
	t.Cleanup(func() { _ = os.Remove(s.file) })
	return s
}

// scrapeNative adds a job to the configuration of the playground's Prometheus until the test ends.
func scrapeNative(t *testing.T, p *harness.Playground, file string) {
	t.Helper()
	path := filepath.Join(filepath.Dir(p.PrometheusTargets), "config", "prometheus.yml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(config []byte) {
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(p.Prometheus+"/-/reload", "", nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("reloading: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
	}
	reload(fmt.Appendf(slices.Clone(before), `- job_name: native
  scrape_native_histograms: true
  file_sd_configs:
  - files: [%q]
    refresh_interval: 1s
`, file))
	t.Cleanup(func() { reload(before) })
}

// start starts a pod, which Prometheus sees once it is prepared.
func (s *pods) start(t *testing.T, name string, prepare ...func(*pod)) *pod {
	t.Helper()
	one := &pod{}
	one.begin(s.form)
	one.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.mu.Lock()
		serve := one.serve
		one.mu.Unlock()
		serve.ServeHTTP(w, r)
	}))
	t.Cleanup(one.server.Close)
	for _, f := range prepare {
		f(one)
	}
	s.all[name] = one
	s.write(t)
	return one
}

// stop ends a pod, which Prometheus finds out by itself.
func (s *pods) stop(t *testing.T, name string) {
	t.Helper()
	s.all[name].server.Close()
	delete(s.all, name)
	s.write(t)
}

// write names the pods to Prometheus, by renaming, so that it never reads half a file.
func (s *pods) write(t *testing.T) {
	t.Helper()
	type target struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var targets []target
	for name, one := range s.all {
		labels := one.labels
		if labels == nil {
			labels = map[string]string{"kubernetes_namespace": s.namespace, "kubernetes_pod_name": name}
		}
		targets = append(targets, target{[]string{one.server.Listener.Addr().String()}, labels})
	}
	text, err := json.Marshal(targets)
	if err == nil {
		err = os.WriteFile(s.file+".partial", text, 0o600)
	}
	if err == nil {
		err = os.Rename(s.file+".partial", s.file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// begin lets the process of a pod count from 0, as it does when it restarts.
func (o *pod) begin(f form) {
	options := prometheus.HistogramOpts{Name: "http_request_duration_seconds", Buckets: []float64{0.1, 0.25, 1}}
	if f.native {
		options = prometheus.HistogramOpts{Name: options.Name, NativeHistogramBucketFactor: 1.1}
	}
	count := prometheus.NewHistogramVec(options, []string{"status"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(count)
	for _, status := range []string{"200", "500"} {
		count.WithLabelValues(status)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count, o.serve = count, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// answer counts requests: good ones of 50 ms, slow ones of half a second, and failed ones.
func (o *pod) answer(good, slow, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range good {
		o.count.WithLabelValues("200").Observe(0.05)
	}
	for range slow {
		o.count.WithLabelValues("200").Observe(0.5)
	}
	for range failed {
		o.count.WithLabelValues("500").Observe(0.05)
	}
}

// exposeAt answers every scrape with a counter and the time that it is of, as servers that pass on metrics of others do.
func (o *pod) exposeAt(when func() time.Time, requests int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serve = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, "http_request_duration_seconds_count{status=\"200\"} %d %d\n", requests, when().UnixMilli())
	})
}

const (
	canaryPod  = "app-5d4c8f7b9-aaaaa"
	primaryOne = "app-primary-5d4c8f7b9-aaaaa"
	primaryTwo = "app-primary-5d4c8f7b9-bbbbb"
)

// reader reads the counters of the pods.
func (s *pods) reader(t *testing.T, p *harness.Playground) metric.Read {
	t.Helper()
	checker := metric.NewChecker(p.Client, p.Prometheus, clock.RealClock{})
	read, err := checker.PrepareCounters(t.Context(), s.canary(),
		flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}, flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func (s *pods) canary() *flaggerv1.Canary {
	return make.Canary(s.namespace, "app", func(c *flaggerv1.Canary) {
		c.Spec.Provider, c.Spec.TargetRef.Name = "kubernetes", "app"
	})
}

// release is what a controller does: it looks, and adds up what windows say.
type release struct {
	read    metric.Read
	options counter.Options
	cursor  counter.Cursor
	looks   []time.Time
	windows []counter.Increments
	sum     counter.Increments
}

// look reads once, now.
func (r *release) look(ctx context.Context) error {
	at := time.Now().Add(-metric.Settling)
	reading, err := r.read(ctx, at)
	if err != nil {
		return err
	}
	r.looks = append(r.looks, at)
	next, window, ok, err := r.cursor.Add(reading, r.options)
	if err != nil {
		return err
	}
	r.cursor = next
	if !ok {
		return nil
	}
	r.windows = append(r.windows, window)
	for _, arm := range []struct{ sum, add *counter.Counts }{
		{&r.sum.Canary, &window.Canary}, {&r.sum.Primary, &window.Primary},
		{&r.sum.Halves[0], &window.Halves[0]}, {&r.sum.Halves[1], &window.Halves[1]},
	} {
		arm.sum.Requests, arm.sum.Errors = arm.sum.Requests+arm.add.Requests, arm.sum.Errors+arm.add.Errors
		arm.sum.Timed += arm.add.Timed
		if len(arm.sum.Slower) == 0 {
			arm.sum.Slower = slices.Repeat([]float64{0}, len(arm.add.Slower))
		}
		for i, slower := range arm.add.Slower {
			if i < len(arm.sum.Slower) {
				arm.sum.Slower[i] += slower
			}
		}
	}
	r.sum.Told = append(r.sum.Told, window.Told...)
	return nil
}

// until looks until what the windows add up to is as wanted.
func (r *release) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	_, err := harness.Eventually(t.Context(), what, harness.Patience, func(ctx context.Context) (bool, string) {
		if err := r.look(ctx); err != nil {
			return false, err.Error()
		}
		return done(), fmt.Sprintf("%d looks, %d windows, %+v", len(r.looks), len(r.windows), r.sum)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// told reports whether a window had a remark on a pod.
func (r *release) told(name string, reason counter.Reason) bool {
	return slices.ContainsFunc(r.sum.Told, func(m counter.Remark) bool { return strings.HasPrefix(m.Pod, name) && m.Reason == reason })
}
