// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// merger has the pull request of a stage merged: now, by a queue, or by the forge itself.
type merger struct{ pulls pulls }

// merge merges what was judged, and looks at what came of it.
func (r merger) merge(ctx context.Context, a promotion.Merge) (bool, error) {
	p := r.pulls
	switch changed, err := r.hasChanged(ctx, a.Number); {
	case err != nil:
		return false, p.explain(err)
	case changed: // what it is now is decided about
		p.seen.stale = true
		return true, nil
	case a.Queue:
		return r.enqueue(ctx, a)
	}
	m, err := r.mergeOf(a.Head)
	if err != nil {
		return false, err
	}
	merged, err := p.forge.Merge(ctx, a.Number, m)
	refused := (*forge.NotMergeable)(nil)
	switch {
	case errors.Is(err, forge.ErrHeadMoved):
		p.seen.stale = true
		return true, nil
	case errors.As(err, &refused):
		r.refuse(a.Head, refused)
		return true, nil
	case err != nil:
		return false, p.explain(err)
	}
	p.seen.pr = merged
	if merged.State != forge.Merged { // it is being merged in the background
		p.seen.refused, p.seen.refusedHead = "it is being merged", a.Head
		p.seen.soon(p.clock.Now(), p.seen.refused)
		return true, nil
	}
	return true, p.landed(ctx)
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

// enqueue puts what was judged into the merge queue, and looks at what came of it.
func (r merger) enqueue(ctx context.Context, a promotion.Merge) (bool, error) {
	r.pulls.seen.stale = true
	return r.answered(a.Head, r.pulls.forge.Enqueue(ctx, a.Number, a.Head))
}

// answered is what comes of a forge's answer to what it was asked about a head: what that is now is
// read again, but for a refusal, which is waited for.
func (r merger) answered(head string, err error) (bool, error) {
	refused := (*forge.NotMergeable)(nil)
	switch {
	case errors.Is(err, forge.ErrHeadMoved):
		return true, nil
	case errors.As(err, &refused):
		r.pulls.seen.stale = false
		r.refuse(head, refused)
		return true, nil
	}
	return true, r.pulls.explain(err)
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

// setAutoMerge asks the forge to merge by itself, or not to. What it could merge now has
// nothing to wait for, and is merged.
func (r merger) setAutoMerge(ctx context.Context, a promotion.SetAutoMerge) (bool, error) {
	p := r.pulls
	p.seen.stale = true
	if !a.On {
		return true, p.explain(p.forge.DisableAutoMerge(ctx, a.Number))
	}
	m, err := r.mergeOf(a.Head)
	if err != nil {
		return false, err
	}
	err = p.forge.EnableAutoMerge(ctx, a.Number, m)
	if errors.Is(err, forge.ErrMergeableNow) {
		return r.merge(ctx, promotion.Merge{Stage: a.Stage, Number: a.Number, Head: a.Head})
	}
	return r.answered(a.Head, err)
}
