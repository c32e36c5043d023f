package imageupdateautomation

import (
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// defaultMax is how many times quiet an update waits at most.
const defaultMax = 10

// batches remember since when updates wait for others. Only times are lost with
// the process: what waits is what the status does not have yet, so that after a
// restart it waits once more and is written all the same.
type batches struct {
	mu    sync.Mutex
	byUID map[types.UID]batch
}

// batch is what waits for one automation.
type batch struct {
	pending     imagev1.ObservedPolicies
	first, last time.Time
}

// wait is how much longer the automation's updates wait for others; zero means
// that there are none, or that they have waited enough. A reconcile request ends
// every wait.
func (b *batches) wait(a *imagev1.ImageUpdateAutomation, chosen imagev1.ObservedPolicies, now time.Time) time.Duration {
	spec := a.Spec.GitSpec.Commit.Batch
	if spec == nil || spec.Quiet.Duration <= 0 {
		return 0
	}
	pending := imagev1.ObservedPolicies{}
	for policy, ref := range chosen {
		if a.Status.ObservedPolicies[policy] != ref {
			pending[policy] = ref
		}
	}
	at, asked := meta.ReconcileAnnotationValue(a.Annotations)
	if len(pending) == 0 || asked && at != a.Status.LastHandledReconcileAt {
		return 0
	}
	longest := defaultMax * spec.Quiet.Duration
	if spec.Max != nil {
		longest = spec.Max.Duration
	}
	open := b.note(a.UID, pending, now)
	return min(open.last.Add(spec.Quiet.Duration).Sub(now), open.first.Add(longest).Sub(now))
}

// note adds what is pending to the batch of an automation.
func (b *batches) note(uid types.UID, pending imagev1.ObservedPolicies, now time.Time) batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byUID == nil {
		b.byUID = map[types.UID]batch{}
	}
	open, ok := b.byUID[uid]
	if !ok {
		open.first = now
	}
	for policy, ref := range pending {
		if was, known := open.pending[policy]; !known || was != ref {
			open.last = now
		}
	}
	open.pending = pending
	b.byUID[uid] = open
	return open
}

// forget closes the batch of an automation: its updates are written.
func (b *batches) forget(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byUID, uid)
}
