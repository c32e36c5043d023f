// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// Review is what a run would push to a branch that is proposed to the checkout, and what
// is there. Nothing was pushed for it; [Writer.Push] does that.
type Review struct {
	// Result is what is known without a push.
	Result
	// Digest stands for what is to be changed; empty if that is nothing. See [Changed.Digest].
	Digest  string
	Changed Changed
	// Tip is the head of the push branch, zero if there is none.
	Tip plumbing.Hash
	// Ours means that making the branch anew loses nobody's work, as far as the authors of commits
	// tell, which anybody who may push can forge. Same means that the branch is what
	// would be pushed, file for file. Neither is known if nothing is to be changed.
	Ours, Same bool

	attempt  attempt
	proposal plannedPush
}

// Review finds out what to propose, on the head of the checkout, and looks at the push
// branch.
func (w *Writer) Review(ctx context.Context, req Request) (Review, error) {
	a, done, err := w.begin(ctx, req)
	if err != nil {
		return Review{}, err
	}
	defer done()
	r, _, err := a.review(ctx)
	return r, err
}

// Push commits what was reviewed, and makes the push branch that, whatever it had. It
// fails with [git.ErrNonFastForward] if the branch has moved since, so that nothing is
// lost that was not seen.
func (w *Writer) Push(ctx context.Context, r Review) (Result, error) {
	a, done, err := w.begin(ctx, r.attempt.req)
	if err != nil {
		return r.Result, err
	}
	defer done()
	return a.publish(ctx, r.proposal)
}

// begin locks the push branch and opens the mirror; done ends that.
func (w *Writer) begin(ctx context.Context, req Request) (a attempt, done func(), err error) {
	locked := branch{req.Remote.String(), req.Push}
	if err := w.locks.Acquire(ctx, locked); err != nil {
		return attempt{}, nil, err
	}
	unlock := func() { w.locks.Release(locked) }
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		unlock()
		return attempt{}, nil, err
	}
	refs := w.refs.begin(req.Remote.ID(), req.Remote.Namespace)
	return attempt{mirror: mirror, index: w.index, clock: w.clock, session: refs, req: req}, func() { refs.end(); unlock() }, nil
}

// review is [Writer.Review], with the files of the push branch if it is there and
// something is to be changed.
func (a attempt) review(ctx context.Context) (Review, *git.CommitTree, error) {
	var err error
	if a.refs, err = a.session.list(ctx, a.mirror, a.req.neededRefs()...); err != nil {
		return Review{}, nil, err
	}
	a.req.Last = a.req.Last.at(a.refs[branchRef(a.req.Push)])
	p, err := a.planCheckout(ctx)
	r := Review{Result: p.result, Digest: p.planned.Changed.Digest(), Changed: p.planned.Changed, Tip: p.tip, attempt: a, proposal: p}
	if err != nil || p.tip.IsZero() || p.isEmpty() {
		return r, nil, err
	}
	tip, err := a.open(ctx, branchRef(a.req.Push), p.tip)
	if err != nil {
		return r, nil, err
	}
	b := a.pushBranch(ctx, p, tip)
	if r.Ours = b.isOurs(); !r.Ours || !b.isBuiltOnSource() {
		return r, tip, nil
	}
	if r.Same, err = sameExcept(p.base, tip, p.planned.Contents); err != nil {
		return r, tip, fmt.Errorf("comparing %s with %s: %w", p.tip, p.source.Commit, err)
	}
	return r, tip, nil
}

// Digest stands for what is changed: which marked fields of which objects, in which files,
// to which values. What they had before is not part of it, nor is the rest of a file; it
// is empty if nothing is changed.
func (c Changed) Digest() string {
	var texts []string
	for file, objects := range c.FileChanges {
		for object, changes := range objects {
			for _, change := range changes {
				texts = append(texts, fmt.Sprintf("%q %q %q %q", file, object, change.Setter, change.NewValue))
			}
		}
	}
	if len(texts) == 0 {
		return ""
	}
	slices.Sort(texts)
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:16])
}
