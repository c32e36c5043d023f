// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// ErrForeignBranch means that a branch has commits of somebody else, which a proposal
// would discard.
var ErrForeignBranch = errors.New("the branch has commits of somebody else")

// Proposed is where a proposal was left.
type Proposed struct {
	// Base is the head of the branch that is proposed to, and Head that of the proposal,
	// zero if the base has all of it already.
	Base, Head plumbing.Hash
	// Pushed says that the head is new.
	Pushed bool
}

// Propose makes the push branch one commit on the head of the checkout, which is a
// branch, with the edits. A branch that is just that is left as it is, and nothing is
// pushed if the checkout has it all. What the branch has otherwise is replaced if
// discards says so; else it fails with [ErrForeignBranch]. Between that look and the push
// nothing is lost: the push names what was seen, and fails with
// [git.ErrNonFastForward] if the branch has moved.
func (w *Writer) Propose(ctx context.Context, req Request, discards func(tip *git.CommitTree) bool) (Proposed, error) {
	unlock, err := w.locks.lock(ctx, branch{req.Remote.String(), req.Push})
	if err != nil {
		return Proposed{}, err
	}
	defer unlock()
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		return Proposed{}, err
	}
	refs := w.refs.begin(req.Remote.ID())
	defer refs.end()
	a := attempt{mirror: mirror, index: w.index, clock: w.clock, session: refs, req: req}
	if a.refs, err = refs.list(ctx, mirror, req.neededRefs()...); err != nil {
		return Proposed{}, err
	}
	return a.replace(ctx, discards)
}

// replace makes the push branch anew unless it is what it should be.
func (a attempt) replace(ctx context.Context, discards func(tip *git.CommitTree) bool) (Proposed, error) {
	p := proposal{edits: a.req.Edits, tip: a.refs[branchRef(a.req.Push)]}
	var err error
	if p.source, err = a.mirror.SelectFrom(a.refs, a.req.Checkout); err != nil {
		return Proposed{}, fmt.Errorf("selecting what to check out: %w", err)
	}
	if p.base, err = a.open(ctx, p.source.Ref, p.source.Commit); err != nil {
		return Proposed{}, err
	}
	done := Proposed{Base: p.source.Commit}
	if p.planned, err = p.edits.Plan(ctx, a.index, p.base); err != nil {
		return done, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	if p.isEmpty() {
		return done, nil
	}
	if !p.tip.IsZero() {
		tip, err := a.open(ctx, branchRef(a.req.Push), p.tip)
		if err != nil {
			return done, err
		}
		if !discards(tip) {
			return done, fmt.Errorf("branch %s: %w", a.req.Push, ErrForeignBranch)
		}
		b := pushBranch{source: factsOf(p.base), tip: factsOf(tip), author: a.req.Author.Email}
		if same, err := a.isProposed(p, b, tip); err != nil || same {
			done.Head = p.tip
			return done, err
		}
	}
	made, err := a.write(ctx, p.source.Commit, p.planned)
	if err != nil {
		return done, err
	}
	update := git.RefUpdate{Ref: branchRef(a.req.Push), Old: p.tip, New: made.Hash}
	if err := a.mirror.Push(ctx, a.req.Options, update); err != nil {
		return done, err
	}
	a.session.recordPush([]git.RefUpdate{update})
	done.Head, done.Pushed = made.Hash, true
	return done, nil
}

// isProposed reports whether a branch is one commit of ours on the base, with just what is
// planned.
func (a attempt) isProposed(p proposal, b pushBranch, tip *git.CommitTree) (bool, error) {
	if !b.isOnlyChildOfSource() || b.tip.author != b.author || b.tip.committer != b.author {
		return false, nil
	}
	same, err := sameExcept(p.base, tip, p.planned.Contents)
	if err != nil {
		return false, fmt.Errorf("comparing %s with %s: %w", p.tip, p.source.Commit, err)
	}
	return same, nil
}
