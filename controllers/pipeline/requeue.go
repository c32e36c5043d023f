// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// poll is when a pipeline looked at what has no watch, such as a forge, and what the pipeline was like then. Its zero value is never.
type poll struct {
	polledAt time.Time
	cause    string
}

// pollAt is a poll at this time. What changes gives a reason for the next one.
func pollAt(p *sluicev1.Pipeline, now time.Time, changes ...string) poll {
	asked, _ := meta.ReconcileAnnotationValue(p.Annotations)
	return poll{now, strings.Join(slices.Concat(changes, []string{asked, fmt.Sprint(p.Generation)}), " ")}
}

// isDue reports whether it is time to poll after the last one: the interval is over, somebody
// asked for a reconcile, the spec changed, or something else did.
func (l poll) isDue(last poll, p *sluicev1.Pipeline) bool {
	return last.polledAt.IsZero() || l.cause != last.cause || !l.polledAt.Before(last.polledAt.Add(p.Spec.Interval.Duration))
}

// requeue is when a pipeline is reconciled again for what has no watch: a forge that
// computes something, metrics that are to be measured, a Secret that is to be put right.
// Its zero value is with the interval. It is that of one observation.
type requeue struct{ after time.Duration }

// requeueAfter has the pipeline reconciled after a time, or sooner if something else asked for that.
func (q *requeue) requeueAfter(after time.Duration) {
	after = max(after, time.Second)
	if q.after == 0 || after < q.after {
		q.after = after
	}
}

// requeueAt has the pipeline reconciled at a time; the zero time is none.
func (q *requeue) requeueAt(when, now time.Time) {
	if !when.IsZero() {
		q.requeueAfter(when.Sub(now))
	}
}

// atMost is when the pipeline is reconciled, at the latest after a time.
func (q *requeue) atMost(latest time.Duration) time.Duration {
	if q.after > 0 {
		return min(latest, q.after)
	}
	return latest
}
