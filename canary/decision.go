// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Decision is what follows from one observation.
type Decision struct {
	// Actions are to be performed in order; each may be repeated.
	Actions []Action
	// State is to be recorded once they are done.
	State State
	// Events tell people what happened, once State is recorded.
	Events []Event
	// Message says where things stand.
	Message string
	// Problem says what keeps the canary from working at all; empty is good.
	Problem string
	// Settling means that no release is under way, and that somebody else has yet to
	// take up what was written, such as a gateway its route.
	Settling bool
	// After is when to look again although nothing happened; zero is never.
	After time.Duration
	// Result is set by the decision that ends an analysis.
	Result ReleaseResult

	// due has to be found out before anything can be decided. Of such a decision
	// only the message counts.
	due Questions
}

// Questions are what has to be found out before a decision can be made.
type Questions struct {
	// Metrics to measure, all of the plan or none.
	Metrics []Metric
	// Hooks to call: all webhooks of these types.
	Hooks []flaggerv1.HookType
}

// None reports whether there is nothing to find out.
func (q Questions) None() bool { return len(q.Metrics) == 0 && len(q.Hooks) == 0 }

// ReleaseResult is how an analysis ended. The history in the status of a Canary calls it the verdict on the release.
type ReleaseResult string

// The results; none while an analysis goes on.
const (
	ResultNone     ReleaseResult = ""
	ResultPromoted ReleaseResult = "promoted"
	ResultSkipped  ReleaseResult = "skipped"
	ResultFailed   ReleaseResult = "failed"
	ResultReverted ReleaseResult = "reverted"
)

// Event is a sentence for people.
type Event struct {
	Warning bool
	Message string
	// Alert is how bad the news is for chat rooms; empty tells them nothing.
	Alert flaggerv1.AlertSeverity
}

// soon is how long after a decision another one follows at once: long enough for the
// recorded status to be seen.
const soon = 50 * time.Millisecond

// then is both decisions: the actions and events of the later one come last, and
// its state and what it says replace those of the first.
func (d Decision) then(later Decision) Decision {
	return Decision{
		Actions:  slices.Concat(d.Actions, later.Actions),
		State:    later.State,
		Events:   slices.Concat(d.Events, later.Events),
		Message:  cmp.Or(later.Message, d.Message),
		Problem:  cmp.Or(later.Problem, d.Problem),
		Settling: d.Settling || later.Settling,
		After:    cmp.Or(later.After, d.After),
		Result:   cmp.Or(later.Result, d.Result),
		due: Questions{
			Metrics: slices.Concat(d.due.Metrics, later.due.Metrics),
			Hooks:   slices.Concat(d.due.Hooks, later.due.Hooks),
		},
	}
}

func (d *Decision) addActions(actions ...Action) { d.Actions = append(d.Actions, actions...) }

func (d *Decision) addEvent(format string, args ...any) {
	d.Events = append(d.Events, Event{Message: fmt.Sprintf(format, args...)})
}

func (d *Decision) warn(format string, args ...any) {
	d.Events = append(d.Events, Event{Warning: true, Message: fmt.Sprintf(format, args...)})
}

// alert is an event that chat rooms are told of, too. All but good news are warnings.
func (d *Decision) alert(severity flaggerv1.AlertSeverity, format string, args ...any) {
	d.Events = append(d.Events, Event{
		Warning: severity != flaggerv1.SeverityInfo, Message: fmt.Sprintf(format, args...), Alert: severity,
	})
}

// wait says where things stand, and when to look again although nothing happened.
func (d *Decision) wait(after time.Duration, format string, args ...any) {
	d.Message, d.After = fmt.Sprintf(format, args...), after
}
