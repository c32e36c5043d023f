// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

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

	// Those of Sluice: seconds spent in each phase, and from the first look at a
	// revision to the verdict on it.
	inPhase, verdicts *prometheus.HistogramVec
	// What the judge says: ratios by metric, and how its test of itself goes.
	judgeRatio, judgeDispersion, judgeTrials, judgeFalseAlarms *prometheus.GaugeVec

	mu     sync.Mutex
	known  map[types.NamespacedName]string // the target of each canary
	phases map[types.UID]phaseSince
}

// phaseSince is a phase, and when this process saw it first.
type phaseSince struct {
	phase flaggerv1.CanaryPhase
	since time.Time
}

// releaseBuckets are seconds, from a quick verdict to a release that takes days.
var releaseBuckets = []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Subsystem: "flagger", Name: name, Help: help}, labels)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: "flagger", Name: name, Help: help},
			[]string{"name", "namespace", "deployment_strategy", "analysis_status"})
	}
	judgeGauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_canary_judge_" + name, Help: help},
			append([]string{"name", "namespace"}, labels...))
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
		inPhase: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_canary_phase_duration_seconds",
			Help: "Seconds spent in a phase", Buckets: releaseBuckets}, []string{"name", "namespace", "phase"}),
		verdicts: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_canary_verdict_duration_seconds",
			Help: "Seconds from a new revision to the verdict on it", Buckets: releaseBuckets}, []string{"name", "namespace", "verdict"}),
		judgeRatio: judgeGauge("ratio", "How many times as bad as its primary the canary seems to be", "metric"),
		judgeDispersion: judgeGauge("dispersion",
			"How many times as much errors vary between halves of the primary as they would by chance"),
		judgeTrials:      judgeGauge("self_test_trials", "Comparisons of the primary with itself"),
		judgeFalseAlarms: judgeGauge("self_test_false_alarms", "Comparisons of the primary with itself that the judge failed"),

		known:  map[types.NamespacedName]string{},
		phases: map[types.UID]phaseSince{},
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.info, m.total, m.status, m.weight, m.analysis, m.duration, m.successes, m.failures, m.inPhase, m.verdicts,
		m.judgeRatio, m.judgeDispersion, m.judgeTrials, m.judgeFalseAlarms,
	} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// observePhase sets the gauges of a canary's phase and weights. It is called by the events
// about the object, which come in order: a canary that was deleted gets no series again.
func (m *metrics) observePhase(c *flaggerv1.Canary) {
	m.countOnce(c)
	status := 1.0
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseProgressing:
		status = 0
	case flaggerv1.CanaryPhaseFailed:
		status = 2
	}
	target := c.Spec.TargetRef.Name
	m.status.WithLabelValues(target, c.Namespace).Set(status)
	m.weight.WithLabelValues(flaggerv1.PrimaryName(target), c.Namespace).Set(float64(100 - c.Status.CanaryWeight))
	m.weight.WithLabelValues(target, c.Namespace).Set(float64(c.Status.CanaryWeight))
}

// measured notes a value. That of request-duration is in milliseconds everywhere
// but here: Flagger's series, and every dashboard of it, is in seconds.
func (m *metrics) measured(c *flaggerv1.Canary, of canary.Metric, value float64) {
	if of.Name == flaggerv1.RequestDuration && !of.Custom {
		value /= float64(time.Second / time.Millisecond)
	}
	m.ifKnown(c, func() { m.analysis.WithLabelValues(c.Spec.TargetRef.Name, c.Namespace, of.Name).Set(value) })
}

// judged sets the series of the judge from the status; one that has no judge has none.
func (m *metrics) judged(c *flaggerv1.Canary) {
	m.ifKnown(c, func() {
		target, status := c.Spec.TargetRef.Name, c.Status.Judge
		for _, before := range []*prometheus.GaugeVec{m.judgeRatio, m.judgeDispersion, m.judgeTrials, m.judgeFalseAlarms} {
			before.DeletePartialMatch(prometheus.Labels{"name": target, "namespace": c.Namespace})
		}
		if status == nil {
			return
		}
		for _, f := range status.Findings {
			if ratio, err := strconv.ParseFloat(strings.Replace(f.Ratio, infinite, "Inf", 1), 64); err == nil {
				m.judgeRatio.WithLabelValues(target, c.Namespace, f.Metric).Set(ratio)
			}
		}
		if test := status.SelfTest; test != nil {
			m.judgeTrials.WithLabelValues(target, c.Namespace).Set(float64(test.Trials))
			m.judgeFalseAlarms.WithLabelValues(target, c.Namespace).Set(float64(test.FalseAlarms))
			if dispersion, err := strconv.ParseFloat(test.Dispersion, 64); err == nil {
				m.judgeDispersion.WithLabelValues(target, c.Namespace).Set(dispersion)
			}
		}
	})
}

// checked times a check.
func (m *metrics) checked(c *flaggerv1.Canary, took time.Duration) {
	m.ifKnown(c, func() { m.duration.WithLabelValues(c.Spec.TargetRef.Name, c.Namespace).Observe(took.Seconds()) })
}

// ifKnown writes a series of a canary that is still there: an answer that comes
// after its end would bring the series back, for good.
func (m *metrics) ifKnown(c *flaggerv1.Canary, write func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[client.ObjectKeyFromObject(c)] == c.Spec.TargetRef.Name {
		write()
	}
}

// step counts results of releases, and times them and the phases that end.
func (m *metrics) step(c *flaggerv1.Canary, step canary.Decision, now time.Time) {
	m.ifKnown(c, func() {
		m.phase(c, now)
		m.countResult(c, step.Result, now)
	})
}

func (m *metrics) countResult(c *flaggerv1.Canary, result canary.ReleaseResult, now time.Time) {
	target, strategy := c.Spec.TargetRef.Name, string(c.DeploymentStrategy())
	switch result {
	case canary.ResultPromoted:
		m.successes.WithLabelValues(target, c.Namespace, strategy, "completed").Inc()
	case canary.ResultSkipped:
		m.successes.WithLabelValues(target, c.Namespace, strategy, "skipped").Inc()
	case canary.ResultFailed:
		m.failures.WithLabelValues(target, c.Namespace, strategy, "completed").Inc()
	}
	if result != canary.ResultNone && len(c.Status.History) > 0 {
		m.verdicts.WithLabelValues(target, c.Namespace, string(result)).
			Observe(now.Sub(c.Status.History[0].StartedAt.Time).Seconds())
	}
}

// phase observes how long a phase lasted once another one begins.
func (m *metrics) phase(c *flaggerv1.Canary, now time.Time) {
	was, is := m.phases[c.UID], c.Status.Phase
	if was.phase == is {
		return
	}
	if was.phase != "" {
		m.inPhase.WithLabelValues(c.Spec.TargetRef.Name, c.Namespace, string(was.phase)).Observe(now.Sub(was.since).Seconds())
	}
	m.phases[c.UID] = phaseSince{is, now}
}

// countOnce adds a canary to the number of all, once, and drops the series of its last target.
func (m *metrics) countOnce(c *flaggerv1.Canary) {
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
func (m *metrics) forget(key types.NamespacedName, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.phases, uid)
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
	}{m.status, m.analysis, m.duration, m.successes, m.failures, m.inPhase, m.verdicts,
		m.judgeRatio, m.judgeDispersion, m.judgeTrials, m.judgeFalseAlarms} {
		vec.DeletePartialMatch(of)
	}
	for _, workload := range []string{target, flaggerv1.PrimaryName(target)} {
		m.weight.DeleteLabelValues(workload, namespace)
	}
}
