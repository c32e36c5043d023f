// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// merger has the pull request of a stage merged: now, by a queue, or by the forge itself.
type merger struct{ pulls pulls }

// merge merges what was judged, now or by the queue.
func (r merger) merge(ctx context.Context, a promotion.Merge) (bool, error) {
	do := pullrequest.Merge
	if a.Queue {
		do = pullrequest.Enqueue
	}
	return r.perform(ctx, a.Number, a.Head, do)
}

// setAutoMerge asks the forge to merge by itself, or not to.
func (r merger) setAutoMerge(ctx context.Context, a promotion.SetAutoMerge) (bool, error) {
	do := pullrequest.ManualMerge
	if a.On {
		do = pullrequest.AutoMerge
	}
	return r.perform(ctx, a.Number, a.Head, do)
}

// perform asks the forge, and looks at what came of it: what the pull request is now is read again, but
// for a refusal, which is waited for.
func (r merger) perform(ctx context.Context, number int64, head string, do pullrequest.MergeAction) (bool, error) {
	p := r.pulls
	m := forge.Merge{HeadSHA: head}
	if do == pullrequest.Merge || do == pullrequest.Enqueue {
		switch changed, err := r.hasChanged(ctx, number); {
		case err != nil:
			return false, p.explain(err)
		case changed: // what it is now is decided about
			p.seen.stale = true
			return true, nil
		}
	}
	if do != pullrequest.ManualMerge {
		var err error
		if m, err = r.mergeOf(head); err != nil {
			return false, err
		}
	}
	done, err := forge.PerformMerge(ctx, p.forge, number, do, m)
	switch {
	case err != nil:
		p.seen.stale = do != pullrequest.Merge
		return do != pullrequest.Merge, p.explain(err)
	case done.Refused != nil:
		r.refuse(head, done.Refused)
		return true, nil
	case done.Ready: // it has nothing to wait for
		return r.perform(ctx, number, head, pullrequest.Merge)
	case done.Merged == nil:
		p.seen.stale = true
		return true, nil
	}
	p.seen.pr = done.Merged
	if done.Merged.State != forge.Merged { // it is being merged in the background
		p.seen.refused, p.seen.refusedHead = "it is being merged", head
		p.seen.soon(p.clock.Now(), p.seen.refused)
		return true, nil
	}
	return true, p.noteMerged(ctx)
}

// hasChanged reports whether people changed what a forge does not guard since the pull request was looked
// at, which may be an interval ago: the branch that it is into, or that it is a draft.
func (r merger) hasChanged(ctx context.Context, number int64) (bool, error) {
	seen := r.pulls.seen.pr
	now, err := r.pulls.forge.Get(ctx, number)
	if errors.Is(err, forge.ErrNotFound) {
		return true, nil
	}
	return err == nil && (now.State != seen.State || now.Base != seen.Base || now.Draft != seen.Draft), err
}

// refuse notes that the forge does not merge a head. It is asked again soon if waiting may
// help, and in any case when something happened.
func (r merger) refuse(head string, why *forge.NotMergeable) {
	p := r.pulls
	p.seen.refused, p.seen.refusedHead = why.Reason, head
	if why.Transient {
		p.seen.soon(p.clock.Now(), why.Reason)
	}
}

// mergeOf says how a head is merged: by the method of the spec, or by the first that the
// repository allows.
func (r merger) mergeOf(head string) (forge.Merge, error) {
	p := r.pulls
	rules := p.cache.rules[p.repo.branch(p.base)]
	m := forge.Merge{HeadSHA: head, Method: rules.MethodFor(forge.Method(p.stage.Write.PullRequest.MergeMethod))}
	if m.Method != forge.MergeCommit && m.Method != forge.Squash {
		return m, nil // the commit that was pushed lands itself
	}
	tip, err := p.repo.mirror.Tree(plumbing.NewHash(head))
	if err != nil {
		return m, err
	}
	m.Title, m.Body = splitMessage(tip.Info().Message)
	return m, nil
}
