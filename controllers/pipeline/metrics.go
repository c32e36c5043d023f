// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/promotion"
)

// MetricsField is where the checks of a verification are, below the verification. It is
// what errors of [Reconciler.Checker] begin with.
const MetricsField = "metrics.checks"

// maxConcurrentMeasurements is how many measurements of the pipelines of one namespace go on at once, and
// maxMeasurements how many there may be, with those that wait.
const (
	maxConcurrentMeasurements = 10
	maxMeasurements           = 1000
)

// metricsKey is one verification by metrics of one target.
type metricsKey struct {
	pipeline      types.NamespacedName
	stage, target string
	index         int
}

// measurementsCache are those of a pipeline, for landings without a verdict.
type measurementsCache struct {
	mu  sync.Mutex
	all map[metricsKey]*landingMeasurements
}

// get are those of a key, begun anew if they were of another landing or of other checks.
func (m *measurementsCache) get(key metricsKey, landing string) (found *landingMeasurements, anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[metricsKey]*landingMeasurements{}
	}
	found = m.all[key]
	if anew = found == nil || found.id != landing; anew {
		found = &landingMeasurements{id: landing}
		m.all[key] = found
	}
	return found, anew
}

// retain drops those that nobody needs, and returns their keys: there is a verdict, or the
// spec has no such verification.
func (m *measurementsCache) retain(needed map[metricsKey]bool) (dropped []metricsKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.all {
		if !needed[key] {
			delete(m.all, key)
			dropped = append(dropped, key)
		}
	}
	return dropped
}

// landingMeasurements are those of one landing.
type landingMeasurements struct {
	promotion.Measurements
	id string // landing and checks
}

// metrics measures what verifies stages of a pipeline.
type metrics struct {
	pipeline  *sluicev1.Pipeline
	checker   *metric.Checker
	measuring *background.Runner[metricsKey, promotion.Measurement]
	cache     *measurementsCache
	clock     clock.PassiveClock
	// since is when this process saw the pipeline first.
	since time.Time
	again *requeue
	// needed are the measurements of this observation.
	needed map[metricsKey]bool
}

// verification says what came of the measurements, and measures again if it is time to.
func (ms metrics) verification(ctx context.Context, v verificationTarget, is promotion.Readiness) (promotion.Verification, string, error) {
	spec := v.stage.Verify[v.index].Metrics
	key := metricsKey{client.ObjectKeyFromObject(ms.pipeline), v.stage.Name, v.target, v.index}
	measured := ms.measurementsOf(key, v)
	now := ms.clock.Now()
	if is != promotion.ReadinessReady {
		return promotion.VerificationPending, "its metrics are looked at once it is Ready", nil
	}
	if measured.Begun.IsZero() {
		measured.Begun = now
	}
	due := measured.Due(spec, longestWindow(spec))
	if state, evidence := measured.Verification(spec); state == promotion.VerificationPassed || state == promotion.VerificationFailed {
		return state, evidence, nil
	}
	if !now.Before(due) {
		ask := background.Request[metricsKey]{
			Key: key, Input: fmt.Sprint(measured.id, due.UnixNano()), Namespace: key.pipeline.Namespace, Now: now,
		}
		subject, checks := subjectOf(ms.pipeline, v), checksOf(ms.pipeline, v)
		// A run ends before its measurement does.
		measurement, err := ms.measuring.Run(context.WithoutCancel(ctx), ask, func(ctx context.Context) (promotion.Measurement, error) {
			return ms.measure(ctx, subject, checks), nil
		})
		switch {
		case errors.Is(err, background.ErrPending):
			due = now.Add(spec.Interval.Duration) // at the latest: its end wakes the pipeline
		case err != nil:
			measurement = promotion.Measurement{State: promotion.VerificationUnknown, Evidence: err.Error()}
			fallthrough
		default:
			measured.Measurements = measured.With(measurement, now)
			due = measured.Due(spec, longestWindow(spec))
		}
	}
	state, evidence := measured.Verification(spec)
	if state == promotion.VerificationPending || state == promotion.VerificationUnknown {
		ms.again.requeueAfter(due.Sub(now))
	}
	if state == promotion.VerificationPending && ms.hasTimeLeft(v, measured.Measurements, now) {
		state = promotion.VerificationUnknown // it is held beyond verifyTimeout
	}
	return state, evidence, nil
}

// measurementsOf are those of the verification of a landing.
func (ms metrics) measurementsOf(key metricsKey, v verificationTarget) *landingMeasurements {
	spec, _ := json.Marshal(v.stage.Verify[v.index].Metrics)
	ms.needed[key] = true
	measured, anew := ms.cache.get(key, fmt.Sprintf("%s %d %s", v.bundle.ID, v.landed.UnixNano(), spec))
	if anew {
		ms.measuring.Forget(key)
	}
	return measured
}

// forgetOthers drops the measurements that this observation did not need.
func (ms metrics) forgetOthers() {
	for _, key := range ms.cache.retain(ms.needed) {
		ms.measuring.Forget(key)
	}
}

// hasTimeLeft reports whether metrics have more time than the verifyTimeout of the stage
// because time was lost that is no fault of a bundle: nobody could tell, or a restart lost
// the measurements of an earlier process, which begin anew.
func (ms metrics) hasTimeLeft(v verificationTarget, measured promotion.Measurements, now time.Time) bool {
	since, lost := v.since, measured.Lost
	if since.IsZero() {
		return false // its time has not begun
	}
	if ms.since.After(since) {
		lost += measured.Begun.Sub(since)
	}
	return lost > 0 && now.Before(since.Add(v.stage.VerifyTimeout.Duration+lost))
}

// measure makes all checks once. One that is bad is told before one that cannot be
// measured: it is bad whatever the other is.
func (ms metrics) measure(ctx context.Context, subject *flaggerv1.Canary, checks []flaggerv1.CanaryMetric) promotion.Measurement {
	measured := make([]promotion.Measurement, len(checks))
	var all sync.WaitGroup
	for i, m := range checks {
		all.Go(func() {
			err := background.Try(ctx, func() error { measured[i] = ms.measureOne(ctx, subject, m); return nil })
			if err != nil {
				measured[i] = promotion.Measurement{State: promotion.VerificationUnknown, Evidence: err.Error()}
			}
		})
	}
	all.Wait()
	evidence := map[promotion.Verification][]string{}
	for _, one := range measured {
		evidence[one.State] = append(evidence[one.State], one.Evidence)
	}
	for _, state := range []promotion.Verification{
		promotion.VerificationFailed, promotion.VerificationUnknown, promotion.VerificationPending,
	} {
		if len(evidence[state]) > 0 {
			return promotion.Measurement{State: state, Evidence: strings.Join(evidence[state], "; ")}
		}
	}
	return promotion.Measurement{State: promotion.VerificationPassed}
}

func (ms metrics) measureOne(ctx context.Context, subject *flaggerv1.Canary, m flaggerv1.CanaryMetric) promotion.Measurement {
	value, err := ms.checker.Check(ctx, subject, m)
	switch {
	case errors.Is(err, metric.ErrNoValues):
		return promotion.Measurement{State: promotion.VerificationPending, Evidence: m.Name + " has no values"}
	case err != nil:
		return promotion.Measurement{State: promotion.VerificationUnknown, Evidence: withoutTerminal(err).Error()}
	}
	within := flaggerv1.CanaryThresholdRange{Max: &m.Threshold}
	if m.ThresholdRange != nil {
		within = *m.ThresholdRange
	}
	switch sign, limit := within.Beyond(value); sign {
	case "<":
		return promotion.Measurement{
			State:    promotion.VerificationFailed,
			Evidence: fmt.Sprintf("%s is %.6g, and has to be at least %v", m.Name, value, limit),
		}
	case ">":
		return promotion.Measurement{
			State:    promotion.VerificationFailed,
			Evidence: fmt.Sprintf("%s is %.6g, and may be at most %v", m.Name, value, limit),
		}
	}
	return promotion.Measurement{State: promotion.VerificationPassed}
}
