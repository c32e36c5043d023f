// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// DeletionPolicy is what becomes of the objects of an owner that is deleted.
type DeletionPolicy int

const (
	// KeepObjects leaves them as they are.
	KeepObjects DeletionPolicy = iota
	// DeleteObjects deletes them.
	DeleteObjects
	// AwaitTermination deletes them, and lets the owner go when they are gone.
	AwaitTermination
)

// AccountState is whether the service account that applied for an owner exists.
type AccountState int

const (
	// AccountUnknown means that nobody has looked.
	AccountUnknown AccountState = iota
	// AccountExists means that it may be asked to delete.
	AccountExists
	// AccountMissing means that nobody may delete in its name.
	AccountMissing
)

// Deletion is what is seen of an owner that is deleted. Its source is no part of it, so
// that one that is missing blocks no deletion. What follows an action is in it once the
// action was performed.
type Deletion struct {
	Policy DeletionPolicy
	// Timeout is for the objects to go, with [AwaitTermination].
	Timeout time.Duration
	// Inventory is the inventory of the status, and Malformed what in it names no object.
	Inventory []inventory.Entry
	Malformed []string
	// Account is the service account that applies, as namespace/name; "" is the
	// controller itself.
	Account string

	// AccountState follows [CheckAccount].
	AccountState AccountState
	// Pruned follows [PruneAll], with the objects that were deleted by it.
	Pruned  bool
	Deleted []inventory.Entry
	// Remaining follows [CheckRemaining].
	Remaining *Remaining
	// Err is why the account could not be looked for, or an object not be pruned.
	Err error
}

// Remaining is what is left of the objects that were deleted.
type Remaining struct {
	Left []string
	// Err is why that is not known.
	Err error
}

// Termination is what a decision about a deletion takes from the one before. It is kept
// in memory: losing it costs another prune, and a wait begins anew. The zero value is
// that of an owner whose objects were not deleted yet.
type Termination struct {
	// Since is when the objects were deleted.
	Since   time.Time
	Deleted []inventory.Entry
	// Announced says that an event about the wait for them was sent.
	Announced bool
}

// FinalizeAction is what a deletion does next.
type FinalizeAction int

const (
	// Done ends it: the owner may go, unless there is a failure.
	Done FinalizeAction = iota
	// CheckAccount looks for the service account.
	CheckAccount
	// PruneAll deletes all objects of the inventory.
	PruneAll
	// CheckRemaining looks for the objects that were deleted.
	CheckRemaining
)

// DeletionDecision is what follows from what was seen of a deletion.
type DeletionDecision struct {
	Action FinalizeAction
	// State is what the next decision is made from.
	State Termination
	// Failure is why the owner has to stay, when the action is [Done].
	Failure *Failure
	// EventType and Message are the event to send; "" is none.
	EventType, Message string
}

// Finalize says what the deletion of an owner does next. Neither argument is changed.
//
//	keep, or nothing there --> Done
//	account missing -------> Done, and the objects stay: nobody else may delete them in its name
//	account exists --> PruneAll --> [CheckRemaining until nothing is left or the timeout] --> Done
func Finalize(seen Deletion, s Termination, now time.Time) DeletionDecision {
	switch {
	case seen.Policy == KeepObjects, len(seen.Inventory)+len(seen.Malformed) == 0:
		return DeletionDecision{State: s}
	case seen.Err != nil:
		return DeletionDecision{State: s, Failure: &Failure{Reason: meta.PruneFailedReason, Err: seen.Err}}
	case seen.Account != "" && seen.AccountState == AccountUnknown:
		return DeletionDecision{Action: CheckAccount, State: s}
	case seen.Account != "" && seen.AccountState == AccountMissing:
		return DeletionDecision{State: s, EventType: corev1.EventTypeWarning, Message: noAccount(seen)}
	case s.Since.IsZero() && !seen.Pruned:
		return DeletionDecision{Action: PruneAll, State: s}
	}
	if s.Since.IsZero() {
		s = Termination{Since: now, Deleted: seen.Deleted}
	}
	switch {
	case seen.Policy != AwaitTermination:
		return DeletionDecision{State: s}
	case seen.Remaining == nil:
		return DeletionDecision{Action: CheckRemaining, State: s}
	}
	return s.await(*seen.Remaining, now.Sub(s.Since) >= seen.Timeout)
}

// await ends when nothing is left of what was deleted, or when its time is over.
func (s Termination) await(remaining Remaining, over bool) DeletionDecision {
	const failed = "failed to wait for resources termination: "
	left := strings.Join(remaining.Left, ", ")
	switch {
	case remaining.Err == nil && left == "":
		return DeletionDecision{State: s}
	case over && remaining.Err != nil:
		return DeletionDecision{State: s, EventType: corev1.EventTypeWarning, Message: failed + remaining.Err.Error()}
	case over:
		return DeletionDecision{State: s, EventType: corev1.EventTypeWarning, Message: failed + "timeout waiting for: [" + left + "]"}
	case remaining.Err != nil:
		return DeletionDecision{State: s, Failure: pendingTermination(remaining.Err)}
	}
	message := "waiting for the termination of " + left
	d := DeletionDecision{State: s, Failure: pendingTermination(errors.New(message))}
	if !s.Announced {
		d.State.Announced = true
		d.EventType, d.Message = corev1.EventTypeNormal, message
	}
	return d
}

// pendingTermination is looked at again when informers tell that the last object is
// gone, and soon enough where nobody may watch it.
func pendingTermination(err error) *Failure {
	return &Failure{Reason: meta.PruneFailedReason, Err: err, Retry: RetryPending, After: UnwatchedInterval}
}

// noAccount says what stays because its service account is gone.
func noAccount(seen Deletion) string {
	var subjects []string
	for _, e := range seen.Inventory {
		subjects = append(subjects, e.Subject())
	}
	return fmt.Sprintf("unable to prune, service account %s is gone:\n%s", seen.Account, strings.Join(subjects, "\n"))
}
