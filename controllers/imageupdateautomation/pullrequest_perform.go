// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// Comments on pull requests.
const (
	closedComment = "Closed by Sluice: nothing is left to propose. The branch has it already, or no policy chooses it any more."
	leftComment   = "Somebody else committed to this branch, so Sluice leaves it alone. The label `" + forge.RetryLabel +
		"` discards those commits and hands it back."
)

// perform does what was decided, and notes in the step what came of it.
func (p *pullRequestRun) perform(ctx context.Context, seen proposalObservation, step *proposalDecision) error {
	switch step.do {
	case openProposal:
		return p.open(ctx, seen, step)
	case updateProposal:
		if err := p.push(ctx, step); err != nil {
			return err
		}
		return p.rewrite(ctx, seen, step)
	case rewriteProposal:
		return p.rewrite(ctx, seen, step)
	case closeProposal:
		return p.close(ctx, step)
	case leaveProposal:
		err := p.forge.Comment(ctx, seen.pr.Number, leftComment)
		if err != nil {
			step.status.LeftAlone = "" // it is said by the next run
		}
		return explain(err)
	case "":
		return nil
	}
	return p.merge(ctx, seen, step)
}

// push makes the push branch what was reviewed, unless it is that.
func (p *pullRequestRun) push(ctx context.Context, step *proposalDecision) error {
	head := p.review.Tip
	if !p.review.Same {
		written, err := p.controller.Writer.Push(ctx, p.review)
		if errors.Is(err, git.ErrNonFastForward) {
			return reconciler.Pending(fmt.Errorf("%w; it is looked at again", err), firstWait)
		}
		if err != nil {
			return advise(p.a, p.seen, err)
		}
		p.written, p.acted = written, true
		p.events = append(p.events, p.controller.pushed(p.a, p.seen, written)...)
		head = written.Commit
	}
	if step.status != nil {
		step.status.Head = head.String()
		step.status.AutoMerge = step.status.AutoMerge && p.review.Same // of another head the forge was asked nothing
	}
	return nil
}

// open pushes, and opens the pull request.
func (p *pullRequestRun) open(ctx context.Context, seen proposalObservation, step *proposalDecision) error {
	if err := p.push(ctx, step); err != nil {
		return err
	}
	text := p.text
	text.Draft = seen.spec.Draft
	opened, err := p.forge.Open(ctx, forge.NewPullRequest{
		Text: text, Base: seen.base, Branch: seen.branch,
		Labels: seen.spec.Labels, Reviewers: seen.spec.Reviewers, Assignees: seen.spec.Assignees,
	})
	if errors.Is(err, forge.ErrExists) || errors.Is(err, forge.ErrNothingToMerge) {
		return reconciler.Pending(explain(err), firstWait) // it was made, or merged, meanwhile
	}
	if err != nil {
		return explain(err)
	}
	p.acted = true
	head := p.written.Commit
	if head.IsZero() {
		head = p.review.Tip
	}
	step.status = &imagev1.PullRequestStatus{
		Number: opened.Number, URL: opened.URL, State: imagev1.PullRequestOpen, Base: seen.base, Branch: seen.branch,
		Head: head.String(), Digest: seen.digest, TextDigest: seen.text, WaitsFor: "the forge to look at it",
	}
	p.addEvent(imagev1.PullRequestOpenedReason, step.status,
		"opened pull request #%d from branch '%s' into '%s': %s", opened.Number, seen.branch, seen.base, opened.URL)
	for _, warning := range opened.Warnings {
		p.events = append(p.events, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: imagev1.ForgeFailedReason, Message: fmt.Sprintf("pull request #%d: %s", opened.Number, warning),
		})
	}
	return nil
}

// rewrite brings the text up to date. Whether it is a draft is up to people by now.
func (p *pullRequestRun) rewrite(ctx context.Context, seen proposalObservation, step *proposalDecision) error {
	text := p.text
	text.Draft = seen.pr.Draft
	if _, err := p.forge.Update(ctx, seen.pr.Number, text); err != nil {
		return explain(err)
	}
	p.acted = true
	if step.status.Digest != seen.digest {
		p.addEvent(imagev1.PullRequestUpdatedReason, step.status, "pull request #%d proposes something else now: %s", seen.pr.Number, text.Title)
	}
	step.status.Digest, step.status.TextDigest, step.status.WaitsFor = seen.digest, seen.text, "the forge to look at it"
	return nil
}

// close ends a pull request, and says why.
func (p *pullRequestRun) close(ctx context.Context, step *proposalDecision) error {
	number := step.status.Number
	if err := p.forge.Close(ctx, number); err != nil {
		return explain(err)
	}
	step.status.State, step.status.AutoMerge = imagev1.PullRequestClosed, false
	p.addEvent(imagev1.PullRequestClosedReason, step.status, "closed pull request #%d: nothing is left to propose", number)
	return explain(p.forge.Comment(ctx, number, closedComment))
}

// merge merges the head that was judged, or leaves that to the forge, or not any more. Some forges merge in
// the background.
func (p *pullRequestRun) merge(ctx context.Context, seen proposalObservation, step *proposalDecision) error {
	do, status, m := step.do, step.status, forge.Merge{HeadSHA: seen.tip, Method: seen.method}
	done, err := forge.PerformMerge(ctx, p.forge, seen.pr.Number, do, m)
	if done.Ready { // it has nothing to wait for
		done, err = forge.PerformMerge(ctx, p.forge, seen.pr.Number, pullrequest.Merge, m)
	}
	switch {
	case err != nil:
		status.AutoMerge = seen.status != nil && seen.status.AutoMerge
		return explain(err)
	case done.Moved:
		status.AutoMerge, step.soon = false, true
		return nil
	case done.Refused != nil:
		status.AutoMerge, step.soon = false, done.Refused.Transient
		status.WaitsFor = "the forge, which does not merge it: " + done.Refused.Reason
		return nil
	case done.Merged != nil && done.Merged.State == forge.Merged:
		status.AutoMerge, status.State = false, imagev1.PullRequestMerged
		p.addEvent(imagev1.PullRequestMergedReason, status, "merged pull request #%d into branch '%s'", status.Number, status.Base)
	case done.Merged != nil:
		status.AutoMerge, status.WaitsFor = false, "the forge, which is merging it"
	}
	if done.Merged == nil && do != pullrequest.Enqueue {
		status.AutoMerge = do == pullrequest.AutoMerge
	}
	p.acted = do != pullrequest.AutoMerge
	return nil
}

// requestSourcesOf has the sources fetch the branches that moved: the push branch, or the
// base after a merge.
func (p *pullRequestRun) requestSourcesOf(ctx context.Context, before proposalObservation, step proposalDecision) []reconciler.Event {
	pushed := ""
	if !p.written.Commit.IsZero() {
		pushed = p.written.Commit.String()
	}
	events := p.controller.requestSources(ctx, p.a, p.seen, pushed)
	head := mergedHead(before, step)
	if head == "" {
		return events
	}
	base := p.seen
	base.request.Push = before.base
	return append(events, p.controller.requestSources(ctx, p.a, base, head)...)
}

// mergedHead is the head of the pull request that was merged since the last run, or in this one; empty if none was. In the
// run that sees a merge the next pull request may be opened, and stand in the status by now.
func mergedHead(before proposalObservation, step proposalDecision) string {
	was := before.status
	switch pr := before.pr; {
	case was == nil || was.State == imagev1.PullRequestMerged:
		return ""
	case pr != nil && pr.Number == was.Number && pr.Merged:
		return cmp.Or(was.Head, pr.Head)
	case step.status != nil && step.status.State == imagev1.PullRequestMerged:
		return step.status.Head
	}
	return ""
}

// recordPeoplesActions adds an event for what people did about the pull request since the last run.
func (p *pullRequestRun) recordPeoplesActions(seen proposalObservation, step proposalDecision) {
	before, status := seen.status, step.status
	if before == nil || status == nil || before.Number != status.Number || seen.pr == nil {
		return
	}
	switch {
	case before.State != imagev1.PullRequestMerged && status.State == imagev1.PullRequestMerged:
		p.addEvent(imagev1.PullRequestMergedReason, status,
			"%s merged pull request #%d into branch '%s'", orSomebody(seen.pr.MergedBy), status.Number, status.Base)
	case len(step.declined) > len(seen.declined) ||
		before.State == imagev1.PullRequestOpen && status.State == imagev1.PullRequestClosed && !seen.pr.ClosedByUs:
		p.addEvent(imagev1.PullRequestDeclinedReason, status,
			"%s closed pull request #%d: what it proposed is not proposed again; reopening it, or `sluice release automation %s -n %s`, ends that",
			orSomebody(seen.pr.ClosedBy), status.Number, p.a.Name, p.a.Namespace)
	case before.State == imagev1.PullRequestClosed && status.State == imagev1.PullRequestOpen:
		p.addEvent(imagev1.PullRequestReopenedReason, status, "pull request #%d is open again", status.Number)
	case step.do == leaveProposal:
		p.addEvent(imagev1.PullRequestLeftAloneReason, status,
			"somebody else committed to pull request #%d: it is left alone; the label %s hands it back", status.Number, forge.RetryLabel)
	}
}

func (p *pullRequestRun) addEvent(reason string, about *imagev1.PullRequestStatus, format string, args ...any) {
	p.events = append(p.events, reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: reason, Message: fmt.Sprintf(format, args...),
		Metadata: map[string]string{imagev1.CommitAnnotation: about.Head},
	})
}

// abandoned tells of a pull request that is not that of the automation any more.
func abandoned(status *imagev1.PullRequestStatus) []reconciler.Event {
	if status == nil || status.State != imagev1.PullRequestOpen {
		return nil
	}
	return []reconciler.Event{{
		Type: corev1.EventTypeWarning, Reason: imagev1.PullRequestAbandonedReason,
		Message: fmt.Sprintf("pull request #%d from branch '%s' into '%s' is left open: the spec does not ask for it any more",
			status.Number, status.Branch, status.Base),
	}}
}
