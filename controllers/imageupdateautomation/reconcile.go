// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/writeback"
)

// readyMessage is the one that Flux's clients know. What follows it, if
// anything, comes after a semicolon.
const readyMessage = "repository up-to-date"

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, a *imagev1.ImageUpdateAutomation) (reconciler.Result, error) {
	events := r.restore(a)
	seen, err := r.observe(ctx, a)
	if err != nil {
		return reconciler.Result{Events: events}, err
	}
	if wait := r.batchWait(a, seen.chosen); wait > 0 {
		return reconciler.Result{
			Reason: meta.ProgressingReason, Message: "waiting for more updates to commit together",
			Progressing: true, After: wait, Events: events,
		}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, seen.timeout)
	defer cancel()
	if pullRequestOf(a) != nil {
		result, err := r.reconcileProposal(ctx, a, seen)
		result.Events = append(events, result.Events...)
		return result, err
	}
	events = append(events, abandoned(a.Status.PullRequest)...)
	pending := a.Status.PendingPush
	written, err := r.Writer.Run(ctx, seen.request)
	a.Status.PullRequest, a.Status.Declined = nil, nil // not before the push, where the status is written: it is told at the end
	recoverPush(a, written)
	events = append(events, r.recovered(ctx, a, seen, pending)...)
	pushConflicts.Add(float64(written.Conflicts))
	if err != nil {
		return reconciler.Result{Events: events}, advise(a, seen, err)
	}
	r.tracker.closeBatch(a.UID)
	a.Status.PendingPush = nil
	events = append(events, branchEvents(a, seen, written)...)
	pushed := ""
	if !written.Commit.IsZero() {
		pushed = written.Commit.String()
		events = append(events, r.pushed(a, seen, written)...)
	}
	events = append(events, r.requestSources(ctx, a, seen, pushed)...)
	events = append(events, r.record(ctx, a, seen, written)...)
	if written.Held != nil {
		// The choice has to change, or the marker: both start a run.
		return reconciler.Result{Events: events}, reconciler.Waiting(written.Held, a.Spec.Interval.Duration)
	}
	return reconciler.Result{
		Reason: meta.SucceededReason, Message: readyMessage + remarks(a, seen, written),
		After: a.Spec.Interval.Duration, Events: events,
	}, nil
}

// advise says what would help, and makes errors terminal that only another
// GitRepository or another spec resolves.
func advise(a *imagev1.ImageUpdateAutomation, seen observation, err error) error {
	switch {
	case errors.Is(err, git.ErrUnsupportedURL), errors.Is(err, git.ErrObjectFormat):
		return refuse(imagev1.InvalidSourceConfigReason, "GitRepository %s: spec.url: %w", sourceKey(a), err)
	case errors.Is(err, git.ErrInvalidReference):
		return refuse(imagev1.InvalidSourceConfigReason, "spec.git.checkout.ref: %w", err)
	case errors.Is(err, writeback.ErrDiverged):
		return fmt.Errorf("spec.git.push.refspec: %w; delete the destination, or set it to the push branch", err)
	case errors.Is(err, git.ErrRejected):
		return fmt.Errorf("%w; have the server let the account of GitRepository %s push such commits to branch '%s', "+
			"or set spec.git.push.branch to another one",
			err, sourceKey(a), seen.request.Push)
	case errors.Is(err, git.ErrUnauthorized):
		return fmt.Errorf("GitRepository %s: %w; reading and pushing have to be allowed", sourceKey(a), credential.Advise(seen.repo, err))
	case errors.Is(err, git.ErrRepositoryNotFound), errors.Is(err, git.ErrHostKey), errors.Is(err, git.ErrCredentials):
		return fmt.Errorf("GitRepository %s: %w", sourceKey(a), credential.Advise(seen.repo, err))
	}
	return err
}

// remarks are what the Ready message says besides: updates and markers that are held,
// markers that a pipeline writes, and a push branch that others commit to.
func remarks(a *imagev1.ImageUpdateAutomation, seen observation, written writeback.Result) string {
	text := ""
	for _, held := range a.Status.Held {
		text += fmt.Sprintf("; holding %s of policy '%s', which commit %s reverted", held.Ref.String(), held.Policy, shorten.Commit(held.By))
	}
	text += leftToPipelineRemark(written.Report) + skippedRemark(a, written.Report)
	if !written.Foreign.IsZero() {
		text += fmt.Sprintf("; branch '%s' has commits of others and is not rebuilt", seen.request.Push)
	}
	return text
}

// record notes in the status what the run saw.
func (r *Reconciler) record(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation, written writeback.Result,
) []reconciler.Event {
	source := git.Selected{Commit: written.Source, Label: written.Label}.Revision()
	if misses := written.Report.NearMisses(); len(misses) > 0 && source != a.Status.ObservedSourceRevision {
		log.FromContext(ctx).Info("some image policy markers have no effect",
			"revision", source, "count", len(misses), "markers", misses[:min(len(misses), maxLogged)])
	}
	now := metav1.NewTime(r.Clock.Now())
	a.Status.LastAutomationRunTime = &now
	a.Status.ObservedPolicies = seen.chosen
	a.Status.ObservedSourceRevision = source
	a.Status.LastHandledResume = seen.resume
	a.Status.Held = append(stillHeld(a, seen, written.Report), newlyHeld(written.Reverted, now)...)
	if len(a.Status.Held) == 0 {
		a.Status.Held = nil
	}
	counts := written.Report.Counts()
	events := append(heldEvents(a, written), skippedEvents(a, written.Report, counts)...)
	if pullRequestOf(a) == nil { // or they are proposed, and nothing has changed before that is merged
		counts.Current += counts.Outdated
	}
	a.Status.Markers = markerCounts(counts)
	observeMarkers(a)
	return events
}

// maxLogged bounds how many markers one line of the log names.
const maxLogged = 50

// markerCounts are the counts as the status has them.
func markerCounts(counts writeback.Counts) *imagev1.MarkerCounts {
	status := &imagev1.MarkerCounts{Total: counts.Total, Current: counts.Current, Held: counts.Held}
	for _, s := range counts.Skipped {
		status.Skipped = append(status.Skipped, imagev1.SkippedMarkers{
			Reason: string(s.Reason), Count: s.Count, Example: s.Example, Digest: s.Digest,
		})
	}
	return status
}
