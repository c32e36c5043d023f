// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// jobs are what the pods of a workload work at, whoever they are: a real Prometheus scrapes each of them. Of the jobs of
// app:bad three in ten fail, and of all others one in twenty. A pod that gets another image counts from 0.
type jobs struct {
	w      *testEnv
	mu     sync.Mutex
	counts map[string]*count // by pod
}

type count struct {
	image       string
	all, failed int
	server      *httptest.Server
}

// work begins, and ends with the test.
func (w *testEnv) work() {
	w.Helper()
	j := &jobs{w: w, counts: map[string]*count{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	file := filepath.Join(w.p.PrometheusTargets, w.namespace+".json")
	w.Cleanup(func() {
		cancel()
		<-done
		for _, c := range j.counts {
			c.server.Close()
		}
		_ = os.Remove(file)
	})
	go func() {
		defer close(done)
		random, every := rand.New(rand.NewPCG(3, 4)), time.NewTicker(200*time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				if targets, news := j.shift(ctx, random); news {
					_ = os.WriteFile(file+".partial", targets, 0o600)
					_ = os.Rename(file+".partial", file)
				}
			}
		}
	}()
}

// shift lets every pod do forty jobs, and tells where pods are scraped if there is another one.
func (j *jobs) shift(ctx context.Context, random *rand.Rand) (targets []byte, news bool) {
	found := &corev1.PodList{}
	if j.w.c.List(ctx, found, client.InNamespace(j.w.namespace), client.MatchingLabels{"app": "app"}) != nil {
		return nil, false
	}
	primaries := &corev1.PodList{}
	if j.w.c.List(ctx, primaries, client.InNamespace(j.w.namespace), client.MatchingLabels{"app": "app-primary"}) != nil {
		return nil, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, pod := range append(found.Items, primaries.Items...) {
		image := pod.Spec.Containers[0].Image
		c := j.counts[pod.Name]
		if c == nil {
			c, news = &count{}, true
			c.server = httptest.NewServer(j.page(c))
			j.counts[pod.Name] = c
		}
		if c.image != image {
			c.image, c.all, c.failed = image, 0, 0
		}
		failing := 0.05
		if strings.HasSuffix(image, ":bad") {
			failing = 0.3
		}
		for range 40 {
			c.all++
			if random.Float64() < failing {
				c.failed++
			}
		}
	}
	type target struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	all := []target{}
	for name, c := range j.counts {
		all = append(all, target{[]string{c.server.Listener.Addr().String()}, map[string]string{"jobs_namespace": j.w.namespace, "pod": name}})
	}
	targets, err := json.Marshal(all)
	return targets, news && err == nil
}

func (j *jobs) page(c *count) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		j.mu.Lock()
		defer j.mu.Unlock()
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(rw, "jobs_total %d\njobs_failed_total %d\n", c.all, c.failed)
	}
}

// TestWhatNoProxyCountsIsJudgedByItsJobs: a worker and a StatefulSet, whose pods only tell the arms apart by their names.
func TestWhatNoProxyCountsIsJudgedByItsJobs(t *testing.T) {
	for kind, workload := range map[string]client.Object{
		"Deployment": &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(2)), Selector: selector, Template: pods("app:1")}},
		"StatefulSet": &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(4)), Selector: selector, Template: pods("app:1"), ServiceName: "app"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newTestEnv(t)
			w.serve()
			w.work()
			c := app(kind)
			c.Spec.Analysis.Interval = "3s"
			if kind == "StatefulSet" {
				c.Spec.Analysis.Iterations, c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight = 0, 25, 50
			} else {
				c.Spec.Service.Port = 0
			}
			c.Spec.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "1s", Disabled: true}
			c.Spec.Analysis.Judge = &flaggerv1.CanaryJudge{Regression: "3", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "jobs"}}
			of := `{jobs_namespace="{{ namespace }}", pod=~"{{ pods }}"})`
			w.create(&flaggerv1.MetricTemplate{ObjectMeta: metav1.ObjectMeta{Name: "jobs"}, Spec: flaggerv1.MetricTemplateSpec{
				Provider: flaggerv1.MetricTemplateProvider{Type: "prometheus", Address: w.p.Prometheus}, Query: "vector(1)",
				Counters: &flaggerv1.MetricTemplateCounters{
					Events: "sum by (pod) (jobs_failed_total" + of, Exposure: "sum by (pod) (jobs_total" + of,
				}}}, workload, c)
			w.phase(flaggerv1.CanaryPhaseInitialized)
			push := func(image string) func() {
				return func() {
					switch o := workload.(type) {
					case *appsv1.Deployment:
						w.edit("app", o, func() { o.Spec.Template.Spec.Containers[0].Image = image })
					case *appsv1.StatefulSet:
						w.edit("app", o, func() { o.Spec.Template.Spec.Containers[0].Image = image })
					}
				}
			}
			failed := w.released(push("app:bad"), flaggerv1.CanaryPhaseFailed)
			if why := failed.Status.History[0].Reason; !strings.HasPrefix(why, "errors ") || !strings.Contains(why, "times the primary's (") {
				t.Errorf("rolled back because of %q", why)
			}
			good := w.released(push("app:2"), flaggerv1.CanaryPhaseSucceeded)
			if h := good.Status.Judge.History; len(h) != 2 || h[0].Outcome != flaggerv1.JudgePass || h[1].Outcome != flaggerv1.JudgeFail {
				t.Errorf("verdicts %+v", h)
			}
		})
	}
}
