// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// Attempt identifies what a reconcile is asked to do.
type Attempt struct {
	Revision, Digest string // of the artifact
	Generation       int64
	Requested        string // the last request for a reconcile
}

// HealthCheck is whose health an owner waits for.
type HealthCheck int

const (
	// CheckNone waits for nothing.
	CheckNone HealthCheck = iota
	// CheckApplied waits for everything that was applied.
	CheckApplied
	// CheckReferences waits for the objects that the owner names.
	CheckReferences
)

// Spec is what an owner asks for.
type Spec struct {
	Interval, Timeout time.Duration
	// NextRun is when to look again without news: the interval, with jitter if there is any.
	NextRun     time.Duration
	Prune       bool
	HealthCheck HealthCheck
	// ReadsVariables says that variables come from objects, which may change.
	ReadsVariables bool
}

// DriftSummary is what happened to a set of objects since they were applied.
type DriftSummary struct {
	// Worst is the worst of all objects whose repair is due.
	Worst Drift
	// Resume is when the first pause before the repair of what somebody keeps changing
	// is over; zero if there is none.
	Resume time.Time
}

// DependencyState is how far a dependency is.
type DependencyState int

const (
	// DependencyReady means that nothing is to be waited for.
	DependencyReady DependencyState = iota
	// DependencyMissing means that it does not exist.
	DependencyMissing
	// DependencyNotReady means that it is not Ready, or has not seen its own spec yet.
	DependencyNotReady
	// DependencyOutdated means that it is ready with another revision of the same source.
	DependencyOutdated
)

// Dependency is an object that has to be ready first.
type Dependency struct {
	Name  string
	State DependencyState
	// Why says why it is not ready, in words that follow its name; "" if that needs none.
	Why string
}

// Observation is what a reconcile has seen so far. What follows an action is in it once
// the action was performed.
type Observation struct {
	Attempt
	Spec

	// Of the status: the inventory, whether Ready is True, whether Healthy is True of this
	// generation, and since when it says that the health of this revision is awaited.
	Inventory          []inventory.Entry
	Ready, Healthy     bool
	HealthAwaitedSince time.Time
	// AppliedRevision and AppliedObjects are, of the status, what was applied last: the revision, and the
	// digest of the objects by the history; "" if it does not say.
	AppliedRevision, AppliedObjects string

	// FilesChanged says that the files which the last build read are other ones in this
	// artifact; VariablesChanged that what its variables come from has another version.
	FilesChanged, VariablesChanged bool
	// Moves says that the last build has fetched what may be something else by now, of which nobody tells.
	Moves        bool
	Drift        DriftSummary
	Dependencies []Dependency
	// Cycle is the path of dependencies that leads back to the owner, if there is one.
	Cycle []string

	// Variables is the digest of their values, after [ReadVariables].
	Variables *string
	// Building says that a build goes on in the background, after [Apply].
	Building bool
	// Applied is how far the apply came, after [Apply].
	Applied *ApplyResult
	// Pruned says that stale objects were deleted, all but Kept, after [Prune].
	Pruned bool
	Kept   []inventory.Entry
	// Health is the health of the objects that the spec names, after [CheckHealth].
	Health *Health
	// Failure is why the last action failed.
	Failure *Failure
	// HasEvents says that there is something to tell already.
	HasEvents bool
}

// ApplyResult is how far an apply came.
type ApplyResult struct {
	// Entries are the objects that were dealt with.
	Entries []inventory.Entry
	// Waiting are definitions that later objects need, and that are not established yet.
	Waiting Health
	// Built is what was applied.
	Built Built
}

// Built identifies a build: the generation of the spec, the digests of its artifact, of
// its variables and of the objects it made.
type Built struct {
	Generation                   int64
	Artifact, Variables, Objects string
}

// State is what a decision takes from the one before. It is kept in memory: losing it
// costs one build and one apply that changes nothing, and an unhealthy owner gets its
// whole timeout again. It is a value: nothing that it points to is changed.
type State struct {
	// Attempt is what the last reconcile was asked to do.
	Attempt Attempt
	// Started is when that was first tried; HealthSince since when its health is awaited.
	Started, HealthSince time.Time
	// Due is when the interval is over.
	Due time.Time
	// Failed is the failed health check that stands until there is news.
	Failed string
	// Built is what the last complete apply was made of; nil before the first, and
	// while one is under way.
	Built *Built
	// Inventory is the inventory of the last apply, if Applied. It is part of every status, since
	// the write that should have recorded it may have failed.
	Applied   bool
	Inventory []inventory.Entry
}

// ReconcileAction is what a reconcile does next.
type ReconcileAction int

const (
	// Report ends the reconcile.
	Report ReconcileAction = iota
	// EndPauses ends the pauses between repairs of objects that somebody keeps changing.
	EndPauses
	// ReadVariables reads the values of variables.
	ReadVariables
	// Apply builds and applies.
	Apply
	// Prune deletes the stale objects.
	Prune
	// CheckHealth looks at the objects whose health matters.
	CheckHealth
)

// Decision is what follows from what was seen.
type Decision struct {
	Action ReconcileAction
	// Stale are the objects to prune.
	Stale []inventory.Entry
	// State is what the next decision is made from.
	State State
	// Report is what the status and events say, when that is the action.
	Report ReportedState
}

// Decide says what a reconcile does next. Neither argument is changed.
func Decide(o Observation, s State, now time.Time) Decision {
	if o.Attempt != s.Attempt {
		if next, insists := s.start(o, now); insists {
			return Decision{Action: EndPauses, State: next}
		} else {
			s = next
		}
	}
	switch {
	case o.Applied != nil:
		return afterApply(o, s, now)
	case o.Failure != nil:
		return failed(s, *o.Failure)
	case o.Building:
		return building(o, s)
	}
	needed := s.work(o, now)
	if waiting := waitingFor(o, needed); waiting != nil {
		return failed(s, *waiting)
	}
	switch needed {
	case Apply:
		if s.Built != nil {
			s = s.restart(now) // what comes now has its own time
		}
		s.Built = nil
	case Report:
		s = s.upToDate(o)
		return checkHealth(o, s, now)
	}
	return Decision{Action: needed, State: s}
}

// start begins an attempt that was not made before. It insists on repairs when somebody
// asked for it, by the spec or by a request.
func (s State) start(o Observation, now time.Time) (next State, insists bool) {
	first := s.Attempt == Attempt{}
	insists = o.Generation != s.Attempt.Generation || o.Requested != s.Attempt.Requested || first
	s = s.restart(now)
	if first && !o.HealthAwaitedSince.IsZero() && o.HealthAwaitedSince.Before(now) {
		s.HealthSince = o.HealthAwaitedSince // the process is new, the wait is not
	}
	if insists {
		s.Due = now
	}
	s.Attempt = o.Attempt
	return s, insists
}

// restart gives what is done from now on its own time.
func (s State) restart(now time.Time) State {
	s.Started, s.HealthSince, s.Failed = now, now, ""
	return s
}

// work is whether there is anything to apply: [Apply], [ReadVariables] in order to know,
// or [Report] when there is nothing. Everything is looked at when somebody asks for it:
// by the spec, by request, or by the interval.
func (s State) work(o Observation, now time.Time) ReconcileAction {
	due := !now.Before(s.Due)
	switch {
	case s.Built == nil, s.Built.Generation != o.Generation, o.FilesChanged, o.Drift.Worst == Drifted,
		due && (o.Drift.Worst == UnknownDrift || o.Moves):
		return Apply
	case o.Variables != nil && *o.Variables != s.Built.Variables:
		return Apply
	case o.Variables != nil || !o.ReadsVariables:
		return Report
	case due, s.Built.Artifact != o.Digest, o.VariablesChanged:
		return ReadVariables
	}
	return Report
}

// upToDate notes that the artifact makes the objects that were applied.
func (s State) upToDate(o Observation) State {
	built := *s.Built
	built.Artifact = o.Digest
	s.Built = &built
	return s
}

// waitingFor is the first dependency that has to be waited for; nil if there is none.
// A dependency may have another revision while there is nothing to apply.
func waitingFor(o Observation, needed ReconcileAction) *Failure {
	if len(o.Cycle) > 0 { // also while all are ready, or the next change would be applied in no order
		retry := RetryWhenWatched
		if len(o.Cycle) == 2 { // it names itself: nothing else can break the circle
			retry = RetryNever
		}
		return &Failure{
			Reason: meta.DependencyNotReadyReason, Retry: retry,
			Err: fmt.Errorf("%w: %s: take one of them out of spec.dependsOn of the other", ErrCircular, strings.Join(o.Cycle, " -> ")),
		}
	}
	for _, d := range o.Dependencies {
		var text string
		switch {
		case d.State == DependencyNotReady && d.Why != "":
			text = fmt.Sprintf("dependency '%s' %s", d.Name, d.Why)
		case d.State == DependencyMissing:
			text = fmt.Sprintf("dependency '%s' not found: create it, or correct spec.dependsOn", d.Name)
		case d.State == DependencyNotReady:
			text = fmt.Sprintf("dependency '%s' is not ready: mend what its condition Ready says, or correct spec.dependsOn", d.Name)
		case d.State == DependencyOutdated && needed != Report:
			text = fmt.Sprintf("dependency '%s' revision is not up to date: it has yet to apply what their source has now", d.Name)
		default:
			continue
		}
		return &Failure{Reason: meta.DependencyNotReadyReason, Retry: RetryPending, Err: fmt.Errorf("%s", text)}
	}
	return nil
}

// afterApply decides what follows an apply, as far as it came.
func afterApply(o Observation, s State, now time.Time) Decision {
	before := o.Inventory
	if s.Applied {
		before = s.Inventory
	}
	stale := inventory.Diff(before, o.Applied.Entries)
	waiting := o.Applied.Waiting
	s.Applied = true
	if o.Failure != nil && !o.Pruned || !waiting.Healthy() {
		// The inventory never loses an object that may be there.
		s.Inventory = inventory.Union(before, o.Applied.Entries)
	} else {
		s.Inventory = append(inventory.Union(o.Applied.Entries, nil), o.Kept...)
	}
	switch {
	case o.Failure != nil:
		return failed(s, *o.Failure)
	case len(waiting.Failed) > 0:
		return failed(s, retryable("failed early due to stalled resources: "+list(waiting.Failed)))
	case !waiting.Healthy() && s.timedOut(o, now):
		return failed(s, retryable("timeout waiting for: "+list(waiting.Pending)))
	case !waiting.Healthy():
		return progressing(s, "Waiting for definitions to be established: "+list(waiting.Pending), s.remaining(o, waiting, now))
	case o.Prune && len(stale) > 0 && !o.Pruned:
		s.Inventory = inventory.Union(before, o.Applied.Entries)
		return Decision{Action: Prune, Stale: stale, State: s}
	}
	built := o.Applied.Built
	s.Built = &built
	return checkHealth(o, s, now)
}

func retryable(message string) Failure {
	return Failure{Reason: meta.ReconciliationFailedReason, Err: fmt.Errorf("%s", message), Retry: RetrySoon}
}

// list is how messages enumerate objects.
func list(objects []string) string { return "[" + strings.Join(objects, ", ") + "]" }
