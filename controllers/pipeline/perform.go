// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/promotion"
)

// perform carries out actions, and reports whether any of them changed something. What
// fails at a repository or a forge keeps its own stage from going on, and no other.
func (r *run) perform(ctx context.Context, d promotion.Decision) (bool, error) {
	did := false
	for _, action := range d.Actions {
		changed, err := r.act(ctx, action, d)
		did = did || changed
		if err != nil {
			return did, err
		}
	}
	return did, nil
}

// act carries out one action, and reports whether that changed something.
func (r *run) act(ctx context.Context, action promotion.Action, d promotion.Decision) (bool, error) {
	switch a := action.(type) {
	case promotion.Write:
		return r.forStage(ctx, a.Stage, func() (bool, error) {
			wrote, err := r.write(ctx, a, d)
			if err != nil {
				err = fmt.Errorf("writing %s to stage %s: %w", promotion.Describe(a.Bundle), a.Stage, err)
			}
			if errors.Is(err, git.ErrRejected) {
				err = fmt.Errorf("%w: let the credential of GitRepository %s push to it, or propose by spec.stages[%s].write.pullRequest",
					err, r.repos[a.Stage].key(), a.Stage)
			}
			return wrote, err
		})
	case promotion.Propose:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return r.propose(ctx, p, a, d) })
	case promotion.Merge:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return merger{p}.merge(ctx, a) })
	case promotion.SetAutoMerge:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return merger{p}.setAutoMerge(ctx, a) })
	case promotion.SetDraft:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return pullRequestPerformer{p}.setDraft(ctx, a) })
	case promotion.ClosePullRequest:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return pullRequestPerformer{p}.close(ctx, a) })
	case promotion.Comment:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return pullRequestPerformer{p}.comment(ctx, a) })
	case promotion.SetStatus:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return pullRequestPerformer{p}.setStatus(ctx, a) })
	case promotion.Verify:
		return r.jobs.start(ctx, a, landingOf(r.cache.kept.state, a.Stage).At) // Canaries run by themselves
	}
	return false, fmt.Errorf("action %T is not known", action)
}

// write commits a bundle to a stage, or points its tags at it.
func (r *run) write(ctx context.Context, w promotion.Write, d promotion.Decision) (bool, error) {
	stage := r.pipeline.Spec.Stage(w.Stage)
	if stage.Write.Tag != nil {
		return r.tags.write(ctx, stage, w)
	}
	text := ""
	if c := stage.Write.Commit; c != nil {
		text = c.MessageTemplate
	}
	message, err := commitMessage(ctx, messageField(stage), text, r.message(w, d))
	if err != nil {
		return false, err
	}
	repo := r.repos[w.Stage]
	request := commitOfBundle(repo, stage, r.contents.fields[w.Stage], w)
	request.Message = fixedMessage(message)
	r.cache.heads.pushing(repo.branch(branchOf(repo, stage)))
	result, err := r.controller.Writer.Run(ctx, request)
	if err != nil {
		return false, err
	}
	for _, target := range w.Targets {
		r.cache.wrote[targetKey{w.Stage, target}] = writtenBundle{w.Bundle.ID, r.controller.Clock.Now()}
	}
	r.cache.heads.set(repo, branchOf(repo, stage), result.Source)
	// A process that ended right after its push leaves nothing to commit, and sources that were not asked.
	r.sources.requestBranch(ctx, repo, branchOf(repo, stage), result.Source.String())
	return !result.Commit.IsZero(), nil
}

// forStage does something for a stage, unless something is wrong with that already.
func (r *run) forStage(ctx context.Context, stage string, do func() (bool, error)) (bool, error) {
	return r.faults.runFor(ctx, stage, do)
}
