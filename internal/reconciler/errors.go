// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"time"
)

// withReason is an error that brings the reason of the Ready condition.
type withReason struct {
	error
	reason string
}

func (w withReason) Unwrap() error { return w.error }

// WithReason gives an error the reason of the Ready condition that shows it. The
// controller's Reason is asked about all others: about sentinels of the packages that
// it uses.
func WithReason(reason string, err error) error { return withReason{err, reason} }

// ReasonOf returns the reason that an error has by [WithReason]; others are those of
// the given function, which is a controller's Reason.
func ReasonOf(err error, others func(error) string) string {
	var known withReason
	if errors.As(err, &known) {
		return known.reason
	}
	return others(err)
}

// ConditionError is an error that a condition beside Ready shows, too, with the same reason.
type ConditionError struct {
	error
	// Condition is the type of that condition.
	Condition string
}

// Unwrap implements the interface of package errors.
func (e ConditionError) Unwrap() error { return e.error }

// WithCondition gives an error a reason, as [WithReason] does, and the condition beside
// Ready that shows it.
func WithCondition(condition, reason string, err error) error {
	return ConditionError{WithReason(reason, err), condition}
}

// waiting is an error that neither backs off nor needs a person.
type waiting struct {
	error
	after time.Duration
}

func (w waiting) Unwrap() error { return w.error }

// Waiting marks err as a failure that time or a watch resolves: the object is
// Ready=False with the reason of err and comes back after the given delay, or
// as soon as a watch says so.
func Waiting(err error, after time.Duration) error {
	return waiting{error: err, after: after}
}

// pending is a waiting error about which nobody needs an alert.
type pending struct{ waiting }

func (p pending) Unwrap() error { return p.waiting }

// Pending marks err as nothing that went wrong: what it names is not there yet, or
// not ready yet, as in every chain of objects that follow one another. It is
// [Waiting] otherwise, but told as an event of severity info.
func Pending(err error, after time.Duration) error {
	return pending{waiting{error: err, after: after}}
}

// deferred is a pending error of a run that could not begin.
type deferred struct{ pending }

func (d deferred) Unwrap() error { return d.pending }

// Deferred marks err as the reason why a run could not begin yet. An object whose status judges its
// generation already keeps that status, and a request stays unhandled: neither conditions nor events
// tell of err. Others are [Pending].
func Deferred(err error, after time.Duration) error {
	return deferred{pending{waiting{error: err, after: after}}}
}

// isDeferred reports whether [Deferred] marked an error.
func isDeferred(err error) bool {
	var d deferred
	return errors.As(err, &d)
}

// waitingFor returns the delay of an error that [Waiting] or [Pending] marked.
func waitingFor(err error) (time.Duration, bool) {
	var w waiting
	if errors.As(err, &w) {
		return w.after, true
	}
	return 0, false
}

// IsPending reports whether [Pending] marked an error.
func IsPending(err error) bool {
	var p pending
	return errors.As(err, &p)
}
