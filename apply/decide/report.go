// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErrCircular marks an owner that waits, by way of others, for itself.
var ErrCircular = errors.New("circular dependency")

const (
	// UnwatchedInterval is how often objects that cannot be watched are looked at.
	UnwatchedInterval = 5 * time.Second
	// buildLook is how often a build in the background is asked for, beside the wake at its end.
	buildLook = 5 * time.Minute
)

// Retry is when something that failed is tried again.
type Retry int

const (
	// RetrySoon is at the owner's retry interval if it names one, with backoff otherwise.
	RetrySoon Retry = iota
	// RetryWhenWatched is when what it needs has changed, which is watched for; at the
	// retry interval to be safe.
	RetryWhenWatched
	// RetryPending is as RetryWhenWatched, of what nobody has done wrong.
	RetryPending
	// RetryNever says that another spec or another artifact has to come.
	RetryNever
)

// Failure is why a reconcile did not reach its end.
type Failure struct {
	// Reason is the reason of the Ready condition; "" leaves it to the error.
	Reason string
	Err    error
	Retry  Retry
	// After, if set, is when it is tried again instead of the retry interval.
	After time.Duration
}

// HealthyCondition is what the Healthy condition says from now on.
type HealthyCondition struct {
	// Status is "" to remove the condition.
	Status          metav1.ConditionStatus
	Reason, Message string
}

// Event is something to tell.
type Event struct {
	Reason, Message string
	// CommitStatus marks the event by which notifications set the status of a commit.
	CommitStatus bool
	// AlertsOnly says that it is no news to who reads the events of the owner.
	AlertsOnly bool
}

// ReportedState is what a reconcile came to, as people are told.
type ReportedState struct {
	// Failure is nil when it came to its end, or to a wait for progress.
	Failure *Failure
	// Progressing says that there is something to wait for.
	Progressing bool
	// Reason and Message are those of the Ready condition; beside a failure, the message
	// says what is tried again.
	Reason, Message string
	// After is when to look again without news.
	After time.Duration
	// Healthy is nil to leave the condition as it is.
	Healthy *HealthyCondition
	Events  []Event
	// History is the reason to note in status.history; "" for none.
	History string
}

func failed(s State, f Failure) Decision {
	return Decision{State: s, Report: ReportedState{Failure: &f}}
}

func progressing(s State, message string, after time.Duration) Decision {
	return Decision{State: s, Report: ReportedState{
		Progressing: true, Reason: meta.ProgressingReason, Message: message, After: after,
	}}
}

// building waits for a build that goes on in the background.
func building(o Observation, s State) Decision {
	return progressing(s, "Building "+o.Revision, buildLook)
}

// checkHealth says whether what was applied is healthy, if anyone wants to know.
func checkHealth(o Observation, s State, now time.Time) Decision {
	if !now.Before(s.Due) {
		s.Due = now.Add(o.NextRun)
	}
	switch h := o.Health; {
	case h == nil:
		return Decision{Action: CheckHealth, State: s}
	case o.HealthCheck == CheckNone:
		return ready(o, s, now, ReportedState{Healthy: &HealthyCondition{}})
	case h.Healthy():
		return healthy(o, s, now)
	case len(h.Failed) > 0:
		return unhealthy(o, s, now, "failed early due to stalled resources: "+list(h.Failed))
	case s.Failed != "" || s.timedOut(o, now):
		return unhealthy(o, s, now, "timeout waiting for: "+list(h.Pending))
	}
	message := checking(o)
	if len(o.Health.Unserved) > 0 { // which may well be a mistake, and the timeout is long
		message += "; " + strings.Join(o.Health.Unserved, "; ")
	}
	d := progressing(s, message, s.remaining(o, *o.Health, now))
	d.Report.Healthy = &HealthyCondition{Status: metav1.ConditionUnknown, Reason: meta.ProgressingReason, Message: message}
	return d
}

// checking is what a health check says of itself while it runs.
func checking(o Observation) string {
	return fmt.Sprintf("Running health checks for revision %s with a timeout of %s", o.Revision, o.Timeout)
}

// healthy notes a passed check. One that was passed before, with nothing applied since,
// is no news.
func healthy(o Observation, s State, now time.Time) Decision {
	s.Failed = ""
	if o.Healthy && !o.HasEvents {
		return ready(o, s, now, ReportedState{})
	}
	message := "Health check passed in " + round(now.Sub(s.HealthSince))
	return ready(o, s, now, ReportedState{
		Healthy: &HealthyCondition{Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: message},
		Events:  []Event{{Reason: meta.ProgressingReason, Message: message}},
	})
}

// unhealthy is a failed check. It stands until an object changes its state, of which
// the informers tell.
func unhealthy(o Observation, s State, now time.Time, why string) Decision {
	report := ReportedState{
		Message: checking(o),
		Healthy: &HealthyCondition{Status: metav1.ConditionFalse, Reason: meta.HealthCheckFailedReason, Message: why},
	}
	if s.Failed == "" {
		s.Failed = "health check failed after " + round(now.Sub(s.HealthSince))
		report.History = meta.HealthCheckFailedReason
	}
	report.Failure = &Failure{
		Reason: meta.HealthCheckFailedReason, Retry: RetryWhenWatched, Err: errors.New(s.Failed + ": " + why),
	}
	return Decision{State: s, Report: report}
}

// ready completes the report of a reconcile that reached its end. It is news if an
// object changed, or if the owner was not ready before, or if the changes were made by a process that
// ended before it could tell. A commit that changes nothing gets its status, too: people wait for it.
func ready(o Observation, s State, now time.Time, report ReportedState) Decision {
	report.Reason, report.Message = meta.ReconciliationSucceededReason, "Applied revision: "+o.Revision
	next := s.Due
	if resume := o.Drift.Resume; !resume.IsZero() && resume.Before(next) {
		next = resume
	}
	report.After = max(next.Sub(now), time.Millisecond)
	news := o.HasEvents || len(report.Events) > 0 || !o.Ready || s.isUntold(o)
	if news {
		report.History = meta.ReconciliationSucceededReason
	}
	if news || o.AppliedRevision != o.Revision {
		report.Events = append(report.Events, Event{
			Reason: meta.ReconciliationSucceededReason, CommitStatus: true, AlertsOnly: !news,
			Message: fmt.Sprintf("Reconciliation finished in %s, next run in %s", round(now.Sub(s.Started)), o.Interval),
		})
	}
	return Decision{State: s, Report: report}
}

// isUntold reports whether the status knows nothing of the objects of this revision.
func (s State) isUntold(o Observation) bool {
	return o.AppliedRevision != o.Revision && o.AppliedObjects != "" && o.AppliedObjects != s.Built.Objects
}

// timedOut reports whether health was awaited for too long.
func (s State) timedOut(o Observation, now time.Time) bool {
	return !now.Before(s.HealthSince.Add(o.Timeout))
}

// remaining is how long to wait for news at most.
func (s State) remaining(o Observation, h Health, now time.Time) time.Duration {
	left := max(s.HealthSince.Add(o.Timeout).Sub(now), time.Millisecond)
	if h.Unwatched {
		return min(left, UnwatchedInterval)
	}
	return left
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }
