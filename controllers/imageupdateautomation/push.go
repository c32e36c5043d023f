// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-git/go-git/v5/plumbing"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// maxListed bounds how many changes an event's annotations list.
const maxListed = 100

// push is a commit that was pushed for an automation.
type push struct {
	commit, base string
	pushedAt     metav1.Time
	events       []reconciler.Event
}

func (p push) writeTo(status *imagev1.ImageUpdateAutomationStatus) {
	status.LastPushCommit, status.LastPushBase, status.LastPushTime = p.commit, p.base, &p.pushedAt
	status.PendingPush = nil
}

// beforePush has the status say what is about to be pushed to a branch of its own. A process that is
// killed between the push and the end of the run would take it for somebody else's commit later: when
// the checkout has moved, nothing in it tells.
func (r *Reconciler) beforePush(a *imagev1.ImageUpdateAutomation) func(context.Context, plumbing.Hash, writeback.Result) error {
	return func(ctx context.Context, commit plumbing.Hash, known writeback.Result) error {
		recoverPush(a, known)
		a.Status.PendingPush = &imagev1.PendingPush{
			Commit: commit.String(), Base: known.Base.String(), Time: metav1.NewTime(r.Clock.Now()),
		}
		if err := reconciler.Checkpoint(ctx); err != nil {
			return fmt.Errorf("noting in the status what is about to be pushed: %w", err)
		}
		return nil
	}
}

// recoverPush makes what was about to be pushed the last push, if the branch is there.
func recoverPush(a *imagev1.ImageUpdateAutomation, written writeback.Result) {
	pending := a.Status.PendingPush
	if pending == nil || written.Recovered.String() != pending.Commit {
		return
	}
	push{commit: pending.Commit, base: pending.Base, pushedAt: pending.Time}.writeTo(&a.Status)
}

// recovered tells of the push that a run before this one was killed after, and has the sources fetch it. Pending is
// what that was about to push; the status has it as the last push by now if it is there.
func (r *Reconciler) recovered(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation, pending *imagev1.PendingPush,
) []reconciler.Event {
	if pending == nil || a.Status.LastPushCommit != pending.Commit {
		return nil
	}
	event := reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: meta.SucceededReason, Message: pushedTo(seen, pending.Commit),
		Metadata: map[string]string{
			imagev1.RevisionAnnotation: revision(seen.request.Push, pending.Commit), imagev1.CommitAnnotation: pending.Commit,
		},
	}
	return append([]reconciler.Event{event}, r.requestSources(ctx, a, seen, pending.Commit)...)
}

// pushed remembers the push until the status has it.
func (r *Reconciler) pushed(a *imagev1.ImageUpdateAutomation, seen observation, written writeback.Result) []reconciler.Event {
	now := r.Clock.Now()
	for _, change := range written.Changed.Changes() {
		if delay, known := r.tracker.takeDelay(a, change, now); known {
			commitDuration.Observe(delay.Seconds())
		}
	}
	p := push{commit: written.Commit.String(), pushedAt: metav1.NewTime(now)}
	if !written.Base.IsZero() {
		p.base = written.Base.String()
	}
	for _, commit := range written.Commits {
		p.events = append(p.events, pushEvent(seen, commit))
	}
	r.tracker.recordPush(a.UID, p)
	p.writeTo(&a.Status)
	return p.events
}

func refOf(branch string) string { return plumbing.NewBranchReferenceName(branch).String() }

// pushedTo says where a commit was pushed to.
func pushedTo(seen observation, hash string) string {
	where := fmt.Sprintf("branch '%s'", seen.request.Push)
	if seen.refspec != "" {
		where += fmt.Sprintf(" and refspecs '%s'", seen.refspec)
	}
	return fmt.Sprintf("pushed commit '%s' to %s", shorten.Commit(hash), where)
}

func pushEvent(seen observation, commit writeback.Commit) reconciler.Event {
	hash := commit.Hash.String()
	var policies, olds, news []string
	for _, change := range commit.Changed.Changes()[:min(maxListed, len(commit.Changed.Changes()))] {
		setter, _ := edit.ParseSetter(change.Setter)
		policies, olds, news = append(policies, setter.Policy), append(olds, change.OldValue), append(news, change.NewValue)
	}
	return reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: meta.SucceededReason,
		Message: pushedTo(seen, hash) + "\n" + commit.Message,
		Metadata: map[string]string{
			imagev1.RevisionAnnotation: revision(seen.request.Push, hash), imagev1.CommitAnnotation: hash,
			imagev1.PolicyAnnotation: strings.Join(policies, ","),
			imagev1.OldAnnotation:    strings.Join(olds, ","), imagev1.NewAnnotation: strings.Join(news, ","),
		},
	}
}

// branchEvents tell once what became of a push branch that is not the checkout,
// besides commits: that it is not built anew any more because others commit to it,
// or that it was set back.
func branchEvents(a *imagev1.ImageUpdateAutomation, seen observation, written writeback.Result) []reconciler.Event {
	event := func(reason, format string, args ...any) []reconciler.Event {
		at := written.Source
		if !written.Foreign.IsZero() {
			at = written.Foreign
		}
		return []reconciler.Event{{
			Type: corev1.EventTypeNormal, Reason: reason, Message: fmt.Sprintf(format, args...),
			Metadata: map[string]string{
				imagev1.RevisionAnnotation: revision(seen.request.Push, at.String()), imagev1.CommitAnnotation: at.String(),
			},
		}}
	}
	switch {
	case !written.Withdrawn.IsZero():
		return event(imagev1.ProposalWithdrawnReason, "branch '%s' had images that no policy stands for any more: it is '%s' again, and was '%s'",
			seen.request.Push, shorten.Commit(written.Source.String()), shorten.Commit(written.Withdrawn.String()))
	case !written.Foreign.IsZero() && !written.Commit.IsZero() && a.Status.LastPushBase != "":
		return event(imagev1.PushBranchExtendedReason,
			"branch '%s' has commits of others up to '%s': it is extended from now on, not built anew on '%s'",
			seen.request.Push, shorten.Commit(written.Foreign.String()), written.Label)
	}
	return nil
}

// restore puts a push into the status that lacks it because writing the status
// failed, and returns its events, which were not sent for the same reason.
func (r *Reconciler) restore(a *imagev1.ImageUpdateAutomation) []reconciler.Event {
	p, ok := r.tracker.unrecordedPush(a)
	if !ok {
		return nil
	}
	p.writeTo(&a.Status)
	return p.events
}

// revision is a commit as Flux's statuses write it.
func revision(branch, commit string) string { return branch + "@sha1:" + commit }
