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
	a, done, err := w.begin(ctx, req)
	if err != nil {
		return Proposed{}, err
	}
	defer done()
	r, tip, err := a.review(ctx)
	proposed := Proposed{Base: r.Source}
	switch {
	case err != nil || r.proposal.isEmpty():
		return proposed, err
	case tip != nil && !discards(tip):
		return proposed, fmt.Errorf("branch %s: %w", req.Push, ErrForeignBranch)
	case r.Same:
		proposed.Head = r.Tip
		return proposed, nil
	}
	made, err := r.attempt.publish(ctx, r.proposal)
	if err != nil {
		return proposed, err
	}
	proposed.Head, proposed.Pushed = made.Commit, true
	return proposed, nil
}
