// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// tracker is all that the controller remembers between runs besides the status. It has
// one entry for each automation and for each policy that exists: entries go when their
// objects are deleted.
//
//	of an automation   the last push, until its status is seen to have it
//	                   since when updates wait for others to be committed together
//	of a policy        its choice, and when that was first seen, for the metric of how
//	                   long a commit took
//
// A restart loses all of it: a push whose status was not written is not announced
// again, an open batch waits once more, and choices are measured only if their policy
// tells when it first saw the tag. Nothing that is written to Git depends on it.
type tracker struct {
	mu          sync.Mutex
	automations map[types.UID]trackedAutomation
	policies    map[types.NamespacedName]trackedChoice
}

// trackedAutomation is what is remembered of an automation. The zero value is nothing.
type trackedAutomation struct {
	push  *push
	batch *batch
}

// recordPush keeps a push until the status has it: if the status cannot be written,
// the next run finds the repository up to date and would never announce it.
func (t *tracker) recordPush(uid types.UID, made push) {
	t.update(uid, func(is *trackedAutomation) { is.push = &made })
}

// unrecordedPush returns the last push of an automation if its status lacks it.
func (t *tracker) unrecordedPush(a *imagev1.ImageUpdateAutomation) (made push, ok bool) {
	t.update(a.UID, func(is *trackedAutomation) {
		if is.push != nil && is.push.commit == a.Status.LastPushCommit {
			is.push = nil
		}
		if is.push != nil {
			made, ok = *is.push, true
		}
	})
	return made, ok
}

// extendBatch adds pending updates to the batch of an automation, and opens one if
// there is none.
func (t *tracker) extendBatch(uid types.UID, pending imagev1.ObservedPolicies, now time.Time) (open batch) {
	t.update(uid, func(is *trackedAutomation) {
		if is.batch != nil {
			open = *is.batch
		}
		open = open.extend(pending, now)
		is.batch = &open
	})
	return open
}

// closeBatch ends the batch of an automation: its updates were written.
func (t *tracker) closeBatch(uid types.UID) {
	t.update(uid, func(is *trackedAutomation) { is.batch = nil })
}

func (t *tracker) update(uid types.UID, change func(*trackedAutomation)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.automations[uid]
	change(&is)
	if is == (trackedAutomation{}) {
		delete(t.automations, uid)
		return
	}
	if t.automations == nil {
		t.automations = map[types.UID]trackedAutomation{}
	}
	t.automations[uid] = is
}

// forgetAutomation ends what is remembered of an automation that was deleted.
func (t *tracker) forgetAutomation(uid types.UID) {
	t.update(uid, func(is *trackedAutomation) { *is = trackedAutomation{} })
}

// recordChoice notes what a policy has chosen.
func (t *tracker) recordChoice(p *imagev1.ImagePolicy, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.policies == nil {
		t.policies = map[types.NamespacedName]trackedChoice{}
	}
	key := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	if next, ok := t.policies[key].next(p, now); ok {
		t.policies[key] = next
	}
}

// takeDelay is the time from a choice to its commit by an automation, once for each
// choice. A choice that the automation wrote before, and finds missing in a new place,
// is not news.
func (t *tracker) takeDelay(a *imagev1.ImageUpdateAutomation, change edit.Change, now time.Time) (time.Duration, bool) {
	setter, err := edit.ParseSetter(change.Setter)
	if err != nil || setter.Namespace != a.Namespace {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := types.NamespacedName{Namespace: a.Namespace, Name: setter.Policy}
	known, ok := t.policies[key]
	if !ok || known.seen.IsZero() || a.Status.ObservedPolicies[setter.Policy] == known.ref {
		return 0, false
	}
	delay := now.Sub(known.seen)
	known.seen = time.Time{}
	t.policies[key] = known
	return delay, true
}

// forgetPolicy ends what is remembered of a policy that was deleted.
func (t *tracker) forgetPolicy(policy types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.policies, policy)
}
