// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// defaultMax is how many quiet times an update waits at most.
const defaultMax = 10

// batch is the updates of an automation that wait to be committed together. Only the
// times are lost with the process: what waits is what the status does not have yet.
type batch struct {
	pending     imagev1.ObservedPolicies
	first, last time.Time // when the batch was opened, and when an update was added
}

// extend is the batch with what is pending now. The zero batch is opened by it.
func (b batch) extend(pending imagev1.ObservedPolicies, now time.Time) batch {
	next := batch{pending: pending, first: b.first, last: b.last}
	if next.first.IsZero() {
		next.first = now
	}
	for policy, ref := range pending {
		if was, known := b.pending[policy]; !known || was != ref {
			next.last = now
		}
	}
	return next
}

// remaining is how much longer the batch stays open: until no update was added for the
// quiet time, and no longer than the maximum. It is not positive when that is over.
func (b batch) remaining(spec imagev1.CommitBatch, now time.Time) time.Duration {
	longest := defaultMax * spec.Quiet.Duration
	if spec.Max != nil {
		longest = spec.Max.Duration
	}
	return min(b.last.Add(spec.Quiet.Duration).Sub(now), b.first.Add(longest).Sub(now))
}

// pendingBatch are the updates that have to wait for others: what the status does not
// have yet, if the automation commits in batches. A new reconcile request ends every
// wait.
func pendingBatch(a *imagev1.ImageUpdateAutomation, chosen imagev1.ObservedPolicies) imagev1.ObservedPolicies {
	spec := a.Spec.GitSpec.Commit.Batch
	at, requested := meta.ReconcileAnnotationValue(a.Annotations)
	if spec == nil || spec.Quiet.Duration <= 0 || requested && at != a.Status.LastHandledReconcileAt {
		return nil
	}
	pending := imagev1.ObservedPolicies{}
	for policy, ref := range chosen {
		if a.Status.ObservedPolicies[policy] != ref {
			pending[policy] = ref
		}
	}
	return pending
}

// batchWait is how much longer the automation's updates wait for others.
func (r *Reconciler) batchWait(a *imagev1.ImageUpdateAutomation, chosen imagev1.ObservedPolicies) time.Duration {
	pending := pendingBatch(a, chosen)
	if len(pending) == 0 {
		return 0
	}
	now := r.Clock.Now()
	return r.tracker.extendBatch(a.UID, pending, now).remaining(*a.Spec.GitSpec.Commit.Batch, now)
}
