package canary

import (
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Decision is what one look at the world comes to.
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
	// Settling means that a canary at rest waits for others to take up what it wrote.
	Settling bool
	// After is when to look again although nothing happened; zero is never.
	After time.Duration
	// Verdict is set by the step that ends an analysis.
	Verdict Verdict

	due Questions
}

// Questions are what has to be found out before a step can be taken.
type Questions struct {
	// Metrics to measure, all of the plan or none.
	Metrics []Metric
	// Hooks to call: all webhooks of these types.
	Hooks []flaggerv1.HookType
}

// None reports whether there is nothing to find out.
func (q Questions) None() bool { return len(q.Metrics) == 0 && len(q.Hooks) == 0 }

// Verdict is how an analysis ended.
type Verdict string

// The verdicts; none while an analysis goes on.
const (
	VerdictNone     Verdict = ""
	VerdictPromoted Verdict = "promoted"
	VerdictSkipped  Verdict = "skipped"
	VerdictFailed   Verdict = "failed"
	VerdictReverted Verdict = "reverted"
)

// Event is a sentence for people.
type Event struct {
	Warning bool
	Message string
	// Alert is how bad the news is for chat rooms; empty tells them nothing.
	Alert flaggerv1.AlertSeverity
}

// Action changes the world. All are absolute: they say what shall be, never by
// how much to change what is.
type Action interface{ action() }

type (
	// EnsureServices makes the Services of the primary and of the canary.
	EnsureServices struct{}
	// EnsureApex makes the Service that users call select the primary.
	EnsureApex struct{}
	// EnsureRoute makes the route objects, and leaves their weights alone.
	EnsureRoute struct{}
	// SetWeights says where users go.
	SetWeights struct{ Weights }
	// Snapshot keeps the target's revision, which is this one, for later.
	Snapshot struct{ Revision string }
	// SetPrimary gives the primary exactly this revision, and creates it if it
	// is missing.
	SetPrimary struct{ Revision string }
	// StartTarget scales the target up if it has no pods.
	StartTarget struct{}
	// StopTarget scales the target to zero.
	StopTarget struct{}
	// Prune forgets the snapshots of all other revisions.
	Prune struct{ Keep []string }
	// EnsureScaler keeps the primary's autoscaler in step with the owner's, and
	// the owner's from scaling a target that was scaled to zero. One that an earlier
	// spec asked for goes.
	EnsureScaler struct{}
	// Notify calls the webhooks of a type whose answers decide nothing.
	Notify struct{ Hook flaggerv1.HookType }
)

func (EnsureServices) action() {}
func (EnsureApex) action()     {}
func (EnsureRoute) action()    {}
func (SetWeights) action()     {}
func (Snapshot) action()       {}
func (SetPrimary) action()     {}
func (StartTarget) action()    {}
func (StopTarget) action()     {}
func (Prune) action()          {}
func (EnsureScaler) action()   {}
func (Notify) action()         {}
