// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/reconciler"
	builder "github.com/sluice-cd/sluice/test/make"
)

func podinfo() *flaggerv1.Canary {
	return builder.Canary("test", "podinfo", func(c *flaggerv1.Canary) { c.UID = "uid-1" })
}

// series are all series of a registry, as name and number of them.
func series(t *testing.T, registry *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		got[f.GetName()] = len(f.GetMetric())
	}
	return got
}

func TestSeriesGoWithTheirCanary(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	c := podinfo()
	m.observePhase(c)
	m.observePhase(c)
	m.measured(c, canary.Metric{Name: "request-success-rate"}, 99)
	m.checked(c, time.Second)
	c.Status.Phase, c.Status.History = flaggerv1.CanaryPhaseProgressing, make([]flaggerv1.CanaryRelease, 1)
	m.step(c, canary.Decision{}, time.Now())
	c.Status.Phase = flaggerv1.CanaryPhaseSucceeded
	m.step(c, canary.Decision{Result: canary.ResultPromoted}, time.Now())
	m.step(c, canary.Decision{Result: canary.ResultFailed}, time.Now())
	want := map[string]int{
		"flagger_canary_total": 1, "flagger_canary_status": 1, "flagger_canary_weight": 2,
		"flagger_canary_metric_analysis":  1,
		"flagger_canary_duration_seconds": 1, "flagger_canary_successes_total": 1, "flagger_canary_failures_total": 1,
		"sluice_canary_phase_duration_seconds": 1, "sluice_canary_verdict_duration_seconds": 2,
	}
	if diff := cmp.Diff(want, series(t, registry)); diff != "" {
		t.Error(diff)
	}
	m.forget(client.ObjectKeyFromObject(c), c.UID)
	// What was under way when the canary went comes to its end, too.
	m.measured(c, canary.Metric{Name: "request-success-rate"}, 99)
	m.checked(c, time.Second)
	m.step(c, canary.Decision{Result: canary.ResultPromoted}, time.Now())
	if diff := cmp.Diff(map[string]int{"flagger_canary_total": 1}, series(t, registry)); diff != "" {
		t.Error(diff)
	}
	if len(m.phases)+len(m.known) != 0 {
		t.Errorf("left behind: %v %v", m.phases, m.known)
	}
}

// Dashboards for Flagger divide nothing: a duration of 500 ms is 0.5 there.
func TestTheSeriesOfARequestDurationIsInSeconds(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	c := podinfo()
	m.observePhase(c)
	for _, tc := range []struct {
		metric canary.Metric
		want   float64
	}{
		{canary.Metric{Name: "request-duration"}, 0.5},
		{canary.Metric{Name: "request-duration", Custom: true}, 500},
		{canary.Metric{Name: "request-success-rate"}, 500},
		{canary.Metric{Name: "lag", Custom: true}, 500},
	} {
		m.measured(c, tc.metric, 500)
		if got := testutil.ToFloat64(m.analysis.WithLabelValues("podinfo", "test", tc.metric.Name)); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.metric, got, tc.want)
		}
	}
}

func TestDependencyIndex(t *testing.T) {
	var index dependencyIndex
	key := types.NamespacedName{Namespace: "test", Name: "podinfo"}
	object := func(kind, namespace, name string) clusterRef {
		return clusterRef{
			clusterKind{schema.GroupVersionKind{Version: "v1", Kind: kind}, workloadCluster},
			types.NamespacedName{Namespace: namespace, Name: name},
		}
	}
	env, other := object("ConfigMap", "test", "env"), object("Secret", "test", "env")
	index.set(key, []clusterRef{env})
	if diff := cmp.Diff([]types.NamespacedName{key}, index.dependentsOf(env)); diff != "" {
		t.Error(diff)
	}
	index.set(key, []clusterRef{other})
	if got := index.dependentsOf(env); len(got) != 0 {
		t.Errorf("still there: %v", got)
	}
	for name, of := range map[string]clusterRef{"another namespace": object("Secret", "other", "env"),
		"another cluster": {clusterKind{other.GroupVersionKind, meshCluster}, other.ObjectKey}} {
		if got := index.dependentsOf(of); len(got) != 0 {
			t.Errorf("of %s: %v", name, got)
		}
	}
	index.forget(key)
	if len(index.dependents)+len(index.needs) != 0 {
		t.Errorf("left behind: %v %v", index.dependents, index.needs)
	}
}

func TestTheStatusOfAnAutoscalerWakesNobody(t *testing.T) {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "podinfo", ResourceVersion: "1"}}
	busy, wider := hpa.DeepCopy(), hpa.DeepCopy()
	busy.ResourceVersion, busy.Status.DesiredReplicas = "2", 5
	wider.ResourceVersion, wider.Spec.MaxReplicas = "2", 9
	deployment := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "Deployment"}}
	for name, tc := range map[string]struct {
		before, after any
		want          bool
	}{
		"its status":                 {hpa, busy, true},
		"its spec":                   {hpa, wider, false},
		"the status of a Deployment": {deployment, deployment.DeepCopy(), false},
	} {
		if got := onlyStatus(tc.before, tc.after); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTransitionsArePreciseWhileTheyAreRemembered(t *testing.T) {
	var memory transitions
	c := podinfo()
	at := time.Date(2026, 1, 2, 12, 0, 0, 900_000_000, time.UTC)
	c.Status.LastTransitionTime = metav1.NewTime(at.Truncate(time.Second))
	if got := memory.last(c); !got.Equal(at.Truncate(time.Second)) {
		t.Errorf("got %v", got)
	}
	memory.record(c.UID, at)
	if got := memory.last(c); !got.Equal(at) {
		t.Errorf("got %v", got)
	}
	c.Status.LastTransitionTime = metav1.NewTime(at.Add(time.Minute))
	if got := memory.last(c); got.Equal(at) {
		t.Error("remembers what was never recorded")
	}
}

func TestReasons(t *testing.T) {
	var r Reconciler
	for want, errs := range map[string][]error{
		"Failed":      {reconcile.TerminalError(failed("rolled back"))},
		"InvalidSpec": {reconcile.TerminalError(errors.New("spec.provider")), reconcile.TerminalError(workload.ErrTaken)},
		"NotReady": {
			notReady("no target"), fmt.Errorf("a Secret: %w", workload.ErrTaken),
			fmt.Errorf("a pod of a Job: %w", workload.ErrShared),
		},
		"ReconciliationFailed": {errors.New("timeout")},
		"NotInstalled":         {fmt.Errorf("watching HTTPRoute: %w", router.ErrNotInstalled)},
	} {
		for _, err := range errs {
			if got := reconciler.ReasonOf(err, r.Reason); got != want {
				t.Errorf("%v: %s", err, got)
			}
		}
	}
}
