// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
)

// countersOf reads what the judge of a canary compares: the counters behind the builtin checks, or
// those of the template that the judge names.
func countersOf(checker *metric.Checker) func(context.Context, *flaggerv1.Canary) (readCounters, error) {
	return func(ctx context.Context, c *flaggerv1.Canary) (readCounters, error) {
		read, err := checker.PrepareCounters(ctx, c, metric.JudgedMetrics(c.Spec.Analysis.Judge)...)
		return readCounters(read), err
	}
}
