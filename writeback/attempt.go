// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
)

// attempt is one pass of a run, from listing the refs to the push. Its fields are
// inputs; what it finds out is in the [plannedPush].
type attempt struct {
	mirror  *git.Mirror
	index   *Index
	clock   clock.PassiveClock
	session *refSession
	req     Request
	refs    map[string]plumbing.Hash // by full name
}

// plannedPush is what an attempt wants to push, and on top of what.
type plannedPush struct {
	source  git.Selected    // what is checked out
	base    *git.CommitTree // what is edited, and committed on
	tip     plumbing.Hash   // of the push branch, zero if that has to be made
	edits   Edits           // without those that others reverted
	planned Planned
	// withdraw sets the push branch to the checkout.
	withdraw bool
	// result is what is known before the push.
	result Result
}

// isEmpty reports whether there is nothing to commit.
func (p plannedPush) isEmpty() bool { return len(p.planned.Contents) == 0 }

func branchRef(name string) string { return plumbing.NewBranchReferenceName(name).String() }

// run lists the refs, proposes and publishes. An idle proposal that the listed refs
// confirm ends the run at once.
func (a attempt) run(ctx context.Context, idle *plannedPush) (Result, error) {
	var err error
	if a.refs, err = a.session.list(ctx, a.mirror, a.req.neededRefs()...); err != nil {
		return Result{}, err
	}
	a.req.Last = a.req.Last.at(a.refs[branchRef(a.req.Push)])
	if idle != nil && a.refs[branchRef(a.req.Push)] == idle.source.Commit {
		return idle.result, nil
	}
	p, err := a.propose(ctx)
	switch {
	case err != nil:
		return p.result, err
	case p.withdraw:
		return a.resetPushBranch(ctx, p)
	case p.isEmpty():
		return p.result, nil
	}
	return a.publish(ctx, p)
}

// propose finds out what is to be written, given where the refs are:
//
//	push branch            is built on         and pushed
//	the checkout           its head            as a fast-forward
//	another, not there     the checkout        as a new branch
//	another, only ours     the checkout        over what is there, unless that is
//	                                           just what it would become
//	another, not ours      its own tip         as a fast-forward
//
// If nothing is to be written another branch is left alone, unless it proposes what
// is not wanted any more: then it is set to the checkout.
func (a attempt) propose(ctx context.Context) (plannedPush, error) {
	p, err := a.planCheckout(ctx)
	if err != nil || a.pushesCheckout(p) || p.tip.IsZero() || p.isEmpty() && !a.req.Last.isTip(p.tip) {
		return p, err
	}
	tip, err := a.open(ctx, branchRef(a.req.Push), p.tip)
	if err != nil {
		return p, err
	}
	return a.decide(ctx, p, tip)
}

// planCheckout finds out what is to be written on the head of the checkout.
func (a attempt) planCheckout(ctx context.Context) (plannedPush, error) {
	p := plannedPush{edits: a.req.Edits, tip: a.refs[branchRef(a.req.Push)]}
	var err error
	if p.source, err = a.mirror.SelectFrom(a.refs, a.req.Checkout); err != nil {
		return p, fmt.Errorf("selecting what to check out: %w", err)
	}
	p.result.Source, p.result.Label = p.source.Commit, p.source.Label
	checkout, err := a.open(ctx, p.source.Ref, p.source.Commit)
	if err != nil {
		return p, err
	}
	if !a.pushesCheckout(p) {
		p.result.Base = p.source.Commit
	}
	if a.req.Last.isPending(p.tip) {
		p.result.Recovered = p.tip
	}
	return a.plan(ctx, p, checkout, a.req.Last.Source)
}

// decide says what becomes of a push branch that is there already and is not the
// checkout, on which the proposal is planned.
func (a attempt) decide(ctx context.Context, p plannedPush, tip *git.CommitTree) (plannedPush, error) {
	b := a.pushBranch(ctx, p, tip)
	if p.isEmpty() { // and the branch is the last push
		proposed, err := p.edits.Plan(ctx, a.index, tip)
		if err != nil {
			return p, fmt.Errorf("%w: %w", ErrUpdate, err)
		}
		p.withdraw = len(proposed.Contents) > 0 // a merged one has the same as the checkout
		return p, nil
	}
	if !b.isOurs() {
		p.result.Foreign, p.result.Base = p.tip, plumbing.ZeroHash
		return a.plan(ctx, p, tip, a.req.Last.Push)
	}
	if !b.isBuiltOnSource() {
		return p, nil
	}
	same, err := sameExcept(p.base, tip, p.planned.Contents)
	if err != nil {
		return p, fmt.Errorf("comparing %s with %s: %w", p.tip, p.source.Commit, err)
	}
	if same {
		p.planned.Contents = nil
	}
	return p, nil
}

// pushBranch looks at a push branch that is there already. What one push made of several
// policies is several commits: if the status that says so was lost, they are fetched one
// below the other. A server that does not give one leaves the branch to whoever made it.
func (a attempt) pushBranch(ctx context.Context, p plannedPush, tip *git.CommitTree) pushBranch {
	b := pushBranch{source: factsOf(p.base), tip: factsOf(tip), last: a.req.Last, author: a.req.Author.Email}
	b.bottom = b.tip
	if a.req.Last.isTip(b.tip.hash) || !b.tip.isBy(b.author) {
		return b
	}
	for n := len(p.edits.Split(p.planned)); n > 1 && len(b.bottom.parents) == 1 && !b.isOnTopOfSource(); n-- {
		parent := b.bottom.parents[0]
		below, err := a.open(ctx, parent.String(), parent)
		if err != nil || !factsOf(below).isBy(b.author) {
			return b
		}
		b.bottom = factsOf(below)
	}
	return b
}

// pushesCheckout reports whether the branch that is pushed is the one that is
// checked out.
func (a attempt) pushesCheckout(p plannedPush) bool { return p.source.Ref == branchRef(a.req.Push) }

// open fetches a commit and opens its files.
func (a attempt) open(ctx context.Context, ref string, commit plumbing.Hash) (*git.CommitTree, error) {
	err := a.mirror.Fetch(ctx, ref, commit)
	if errors.Is(err, git.ErrRefNotFound) && !plumbing.IsHash(ref) { // it was there a moment ago
		return nil, fmt.Errorf("fetching %s (%s) from %s: %w", ref, commit, a.req.Remote, git.ErrNonFastForward)
	}
	if err != nil {
		return nil, err
	}
	return a.mirror.Tree(commit)
}

// plan edits the files of a base, without what others reverted since the commit
// before, in which the last run left the same branch.
func (a attempt) plan(ctx context.Context, p plannedPush, base *git.CommitTree, before plumbing.Hash) (plannedPush, error) {
	p.base = base
	planned, err := p.edits.Plan(ctx, a.index, base)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	reverted, others := p.edits.WithoutReverted(ctx, a.index, planned, a.history(base, before))
	if len(reverted) > 0 {
		p.result.Reverted = append(p.result.Reverted, reverted...)
		p.edits = others
		if planned, err = others.Plan(ctx, a.index, base); err != nil {
			return p, fmt.Errorf("%w: %w", ErrUpdate, err)
		}
	}
	p.planned = planned
	p.result.Report, p.result.Held = planned.Report, planned.Held
	return p, nil
}

// history is what a base may be compared with. It fetches commits only when asked.
func (a attempt) history(base *git.CommitTree, before plumbing.Hash) History {
	return History{
		Files: base, Head: base.Commit(), LastPush: a.req.Last.Push,
		Before: func(ctx context.Context) (Files, bool) {
			if before.IsZero() || before == base.Commit() {
				return nil, false
			}
			if !a.mirror.Has(before) && a.mirror.Fetch(ctx, before.String(), before) != nil {
				return nil, false
			}
			then, err := a.mirror.Tree(before)
			if err != nil || isSetBack(factsOf(then), factsOf(base)) {
				return nil, false
			}
			return then, true
		},
		Pushed: func() (Files, bool) {
			files, err := a.mirror.Tree(a.req.Last.Push)
			return files, err == nil
		},
	}
}
