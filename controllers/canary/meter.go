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

// meter measures the metrics of one canary, as its spec is now. Templates and
// credentials are read once: a check has a meter of its own, samples share one.
type meter struct {
	canary  *flaggerv1.Canary
	checker *metric.Checker
	metrics *metrics
	ways    []metric.Measure // nil until prepared
}

func (r *Reconciler) meter(c *flaggerv1.Canary) *meter {
	return &meter{canary: c, checker: r.checker, metrics: r.metrics, ways: make([]metric.Measure, len(c.Spec.Analysis.Checks()))}
}

// measure measures all metrics at once. A metric that cannot be measured fails
// its check, whatever the reason: nobody knows whether the canary is any good.
func (m *meter) measure(ctx context.Context, due []canary.Metric) []canary.Measurement {
	measured := make([]canary.Measurement, len(due))
	var all sync.WaitGroup
	for i := range due {
		all.Go(func() { measured[i] = m.one(ctx, i, due[i]) })
	}
	all.Wait()
	return measured
}

func (m *meter) one(ctx context.Context, i int, due canary.Metric) canary.Measurement {
	result := canary.Measurement{Name: due.Name, Custom: due.Custom}
	var value float64
	err := background.Try(ctx, func() (err error) {
		value, err = m.value(ctx, i, due)
		return err
	})
	switch {
	case errors.Is(err, metric.ErrNoValues):
		result.NoValues = true
	case err != nil:
		result.Err = err.Error()
	default:
		result.Value = value
		m.metrics.measured(m.canary, due, value)
	}
	return result
}

func (m *meter) value(ctx context.Context, i int, due canary.Metric) (float64, error) {
	if m.ways[i] == nil {
		way, err := m.checker.Prepare(ctx, m.canary, m.canary.Spec.Analysis.Checks()[i])
		if err != nil {
			return 0, err
		}
		m.ways[i] = way
	}
	return m.ways[i](ctx, due.Window)
}
