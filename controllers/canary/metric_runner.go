// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"sync"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/internal/background"
)

// metricRunner measures the metrics of one canary, as its spec is now. Templates and
// credentials are read once: a check has a runner of its own, samples share one.
type metricRunner struct {
	canary  *flaggerv1.Canary
	checker *metric.Checker
	metrics *metrics
	// prepared are the queries by the place of their metric, nil until they are made.
	prepared []metric.Measure
}

func newMetricRunner(c *flaggerv1.Canary, checker *metric.Checker, metrics *metrics) *metricRunner {
	return &metricRunner{canary: c, checker: checker, metrics: metrics, prepared: make([]metric.Measure, len(c.Spec.Analysis.Checks()))}
}

// measure measures all metrics at once. A metric that cannot be measured fails
// its check, whatever the reason: nobody knows whether the canary is any good.
func (r *metricRunner) measure(ctx context.Context, due []canary.Metric) []canary.Measurement {
	measured := make([]canary.Measurement, len(due))
	var all sync.WaitGroup
	for i := range due {
		all.Go(func() { measured[i] = r.runOne(ctx, i, due[i]) })
	}
	all.Wait()
	return measured
}

func (r *metricRunner) runOne(ctx context.Context, i int, due canary.Metric) canary.Measurement {
	result := canary.Measurement{Name: due.Name, Custom: due.Custom}
	var value float64
	err := background.Try(ctx, func() (err error) {
		value, err = r.value(ctx, i, due)
		return err
	})
	switch {
	case errors.Is(err, metric.ErrNoValues):
		result.NoValues, result.Asked = true, metric.NoValuesHint(err)
	case err != nil:
		result.Err = err.Error()
	default:
		result.Value = value
		r.metrics.measured(r.canary, due, value)
	}
	return result
}

func (r *metricRunner) value(ctx context.Context, i int, due canary.Metric) (float64, error) {
	if r.prepared[i] == nil {
		query, err := r.checker.Prepare(ctx, r.canary, r.canary.Spec.Analysis.Checks()[i])
		if err != nil {
			return 0, err
		}
		r.prepared[i] = query
	}
	return r.prepared[i](ctx, due.Window)
}
