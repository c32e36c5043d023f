// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
)

// claims reports whether a commit says that it was made by this pipeline. Whoever may push
// to the branch can say so, too: it is replaced without asking, and not merged for that.
func (p pulls) claims(tip *git.CommitTree) bool {
	info := tip.Info()
	return info.Author.Email == p.repo.author.Email && info.Committer.Email == p.repo.author.Email &&
		hasTrailer(info.Message, trailerPipeline, p.pipeline.Namespace+"/"+p.pipeline.Name) &&
		hasTrailer(info.Message, trailerStage, p.stage.Name)
}

// pushed reports whether a head is one that we pushed: in this process, or as the state
// says.
func (p pulls) pushed(head string) bool {
	return head == p.seen.pushed.Head || p.proposal != nil && head == p.proposal.Head
}

// discards reports whether what is on the branch may be replaced: it is ours, or people
// said so, or it is that of a pull request that has ended, which keeps it.
func (p pulls) discards(tip *git.CommitTree) bool {
	head := tip.Commit().String()
	if p.pushed(head) || p.claims(tip) {
		return true
	}
	pr := p.seen.pr
	return pr != nil && pr.HeadSHA == head && (pr.State != forge.Open || p.observed().Retry)
}

// pullRequestPerformer has a pull request be open with the text that it should have, and say where it
// stands.
type pullRequestPerformer struct{ pulls pulls }

// propose pushes the head of a pull request, and opens it or brings its text up to date.
func (r *run) propose(ctx context.Context, p pulls, a promotion.Propose, d promotion.Decision) (bool, error) {
	w := promotion.Write{Stage: a.Stage, Targets: a.Targets, Bundle: a.Bundle, Kind: a.Kind, From: a.From, By: a.By, Reason: a.Reason}
	m := r.message(w, d)
	text, err := p.text(ctx, m)
	if err != nil {
		return false, err
	}
	text.Draft = a.Draft
	message, err := commitMessage(ctx, "", "", m)
	if err != nil {
		return false, err
	}
	request := commitOfBundle(p.repo, p.stage, r.contents.fields[a.Stage], w)
	request.Push, request.Message = p.head, fixedMessage(message)
	done, err := r.controller.Writer.Propose(ctx, request, p.discards)
	switch {
	case errors.Is(err, writeback.ErrForeignBranch):
		return false, fmt.Errorf("%w, and no pull request of ours: delete it, or name others in spec.stages[%s].write.pullRequest.branchPrefix",
			err, a.Stage)
	case err != nil:
		return false, fmt.Errorf("proposing %s to stage %s: %w", promotion.Describe(a.Bundle), a.Stage, err)
	}
	p.heads.set(p.repo, p.base, done.Base)
	if done.Head.IsZero() {
		return true, nil // the base has it by now
	}
	p.seen.pushed = promotion.Pushed{Head: done.Head.String(), Bundle: a.Bundle.ID}
	if a.Number > 0 {
		changed, err := pullRequestPerformer{p}.update(ctx, a.Number, text)
		return done.Pushed || changed, err
	}
	warnings, err := pullRequestPerformer{p}.open(ctx, text)
	for _, warning := range warnings {
		r.events = append(r.events, reconciler.Event{Type: "Warning", Reason: sluicev1.ForgeFailedReason, Message: warning})
	}
	return done.Pushed || err == nil, err
}

// update brings the text of a pull request up to date, and reports whether it was not.
func (r pullRequestPerformer) update(ctx context.Context, number int64, text forge.Text) (bool, error) {
	p := r.pulls
	before := p.seen.pr
	updated, err := p.forge.Update(ctx, number, text)
	p.seen.stale = true
	return err == nil && (before == nil || before.Title != updated.Title || before.Body != updated.Body), p.explain(err)
}

// open opens a pull request, unless there is one, and returns what people should know of it.
func (r pullRequestPerformer) open(ctx context.Context, text forge.Text) (warnings []string, err error) {
	p := r.pulls
	spec := p.stage.Write.PullRequest
	opened, err := p.forge.Open(ctx, forge.NewPullRequest{
		Text: text, Base: p.base, Branch: p.head, Labels: spec.Labels, Reviewers: spec.Reviewers, Assignees: spec.Assignees,
	})
	p.seen.known, p.seen.stale = false, true // it is looked for
	if errors.Is(err, forge.ErrExists) {
		return nil, nil
	}
	if err != nil {
		return nil, p.explain(err)
	}
	p.seen.pr = opened
	for _, warning := range opened.Warnings {
		warnings = append(warnings, fmt.Sprintf("pull request #%d of stage %s: %s", opened.Number, p.stage.Name, warning))
	}
	return warnings, nil
}

// explain names the field that an error of the forge is about.
func (p pulls) explain(err error) error {
	if err == nil {
		return nil
	}
	field := "spec.forge"
	if unsupported := (*forge.Unsupported)(nil); errors.As(err, &unsupported) {
		field = fmt.Sprintf("spec.stages[%s].write.pullRequest", p.stage.Name)
	}
	return forge.Explain(field, err)
}

// setDraft makes the pull request a draft, or ready, and leaves its text as it is.
func (r pullRequestPerformer) setDraft(ctx context.Context, a promotion.SetDraft) (bool, error) {
	p := r.pulls
	pr := p.seen.pr
	p.seen.stale = true
	updated, err := p.forge.Update(ctx, a.Number, forge.Text{Title: pr.Title, Body: pr.Body, Draft: a.Draft})
	if err != nil {
		return true, p.explain(err)
	}
	now := *pr // what else changed was not decided about
	now.Draft = updated.Draft
	p.seen.pr = &now
	return true, nil
}

// close closes the pull request and says why. Its branch stays, and is that of the next.
func (r pullRequestPerformer) close(ctx context.Context, a promotion.ClosePullRequest) (bool, error) {
	p := r.pulls
	p.seen.stale = true
	if err := p.forge.Close(ctx, a.Number); err != nil {
		return false, p.explain(err)
	}
	return true, p.explain(p.forge.Comment(ctx, a.Number, a.Comment))
}

func (r pullRequestPerformer) comment(ctx context.Context, a promotion.Comment) (bool, error) {
	p := r.pulls
	return true, p.explain(p.forge.Comment(ctx, a.Number, a.Text))
}

// setStatus shows the gates on the head, unless it shows them.
func (r pullRequestPerformer) setStatus(ctx context.Context, a promotion.SetStatus) (bool, error) {
	p := r.pulls
	if p.seen.shown == a {
		return false, nil
	}
	state := forge.CheckPending
	if a.Open {
		state = forge.CheckSuccess
	}
	err := p.forge.SetStatus(ctx, a.Head,
		forge.Status{Context: statusName(p.pipeline, a.Stage), State: state, Description: a.Message, URL: p.seen.pr.URL})
	if err != nil {
		return false, p.explain(err)
	}
	p.seen.shown = a
	return false, nil
}
