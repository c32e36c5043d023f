package canary

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// metrics are those of Flagger, by name and labels: dashboards and alerts go on
// working. Unlike Flagger's, a series goes with the canary it is about.
type metrics struct {
	info, total, status, weight, analysis *prometheus.GaugeVec
	duration                              *prometheus.HistogramVec
	successes, failures                   *prometheus.CounterVec

	mu    sync.Mutex
	known map[types.NamespacedName]string // the target of each canary
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Subsystem: "flagger", Name: name, Help: help}, labels)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: "flagger", Name: name, Help: help},
			[]string{"name", "namespace", "deployment_strategy", "analysis_status"})
	}
	m := &metrics{
		info:     gauge("info", "Version and default provider", "version", "mesh_provider"),
		total:    gauge("canary_total", "Number of canaries", "namespace"),
		status:   gauge("canary_status", "Last canary analysis result: 0 running, 1 successful, 2 failed", "name", "namespace"),
		weight:   gauge("canary_weight", "Percentage of the traffic", "workload", "namespace"),
		analysis: gauge("canary_metric_analysis", "Last measured value", "name", "namespace", "metric"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Subsystem: "flagger", Name: "canary_duration_seconds",
			Help: "Seconds spent performing a check", Buckets: prometheus.DefBuckets}, []string{"name", "namespace"}),
		successes: counter("canary_successes_total", "Number of promoted revisions"),
		failures:  counter("canary_failures_total", "Number of revisions rolled back"),
		known:     map[types.NamespacedName]string{},
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.info, m.total, m.status, m.weight, m.analysis, m.duration, m.successes, m.failures} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// stands tells how a canary stands.
func (m *metrics) stands(c *flaggerv1.Canary) {
	m.know(c)
	status := 1.0
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseProgressing:
		status = 0
	case flaggerv1.CanaryPhaseFailed:
		status = 2
	}
	target := c.Spec.TargetRef.Name
	m.status.WithLabelValues(target, c.Namespace).Set(status)
	m.weight.WithLabelValues(target+"-primary", c.Namespace).Set(float64(100 - c.Status.CanaryWeight))
	m.weight.WithLabelValues(target, c.Namespace).Set(float64(c.Status.CanaryWeight))
}

func (m *metrics) measured(c *flaggerv1.Canary, name string, value float64) {
	m.analysis.WithLabelValues(c.Spec.TargetRef.Name, c.Namespace, name).Set(value)
}

// step counts verdicts and times checks.
func (m *metrics) step(c *flaggerv1.Canary, l *look, step canary.Step) {
	target, strategy := c.Spec.TargetRef.Name, string(c.DeploymentStrategy())
	switch step.Verdict {
	case canary.VerdictPromoted:
		m.successes.WithLabelValues(target, c.Namespace, strategy, "completed").Inc()
	case canary.VerdictSkipped:
		m.successes.WithLabelValues(target, c.Namespace, strategy, "skipped").Inc()
	case canary.VerdictFailed:
		m.failures.WithLabelValues(target, c.Namespace, strategy, "completed").Inc()
	}
	if len(l.seen.Measured) > 0 {
		m.duration.WithLabelValues(target, c.Namespace).Observe(l.took.Seconds())
	}
}

// know counts a canary once.
func (m *metrics) know(c *flaggerv1.Canary) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(c)
	if had, ok := m.known[key]; ok && had != c.Spec.TargetRef.Name {
		m.drop(had, key.Namespace)
	} else if !ok {
		m.total.WithLabelValues(key.Namespace).Inc()
	}
	m.known[key] = c.Spec.TargetRef.Name
}

// forget drops the series of a canary that is gone.
func (m *metrics) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	target, ok := m.known[key]
	if !ok {
		return
	}
	delete(m.known, key)
	m.total.WithLabelValues(key.Namespace).Dec()
	m.drop(target, key.Namespace)
}

func (m *metrics) drop(target, namespace string) {
	of := prometheus.Labels{"name": target, "namespace": namespace}
	for _, vec := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.status, m.analysis, m.duration, m.successes, m.failures} {
		vec.DeletePartialMatch(of)
	}
	for _, workload := range []string{target, target + "-primary"} {
		m.weight.DeleteLabelValues(workload, namespace)
	}
}
