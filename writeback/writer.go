// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/git"
)

// Bounds of the race against other writers of the branch.
const (
	maxAttempts = 10
	maxPause    = 800 * time.Millisecond
)

// Writer commits edits to Git. One writer should serve a whole process: its index,
// its ref cache and its locks are shared by all repositories.
type Writer struct {
	mirrors *git.Mirrors
	clock   clock.Clock
	index   *Index
	refs    *refCache
	// locks let one run at a time write to a branch. Others wait, in their order.
	locks *background.Slots[branch]
}

// NewWriter returns a writer that shares mirrors with the sources.
func NewWriter(mirrors *git.Mirrors, clk clock.Clock) *Writer {
	return &Writer{
		mirrors: mirrors, clock: clk, index: NewIndex(nil), refs: newRefCache(clk), locks: background.NewSlots[branch](0, 1),
	}
}

// WithMemory makes the writer take what parsing files needs out of a budget. It is
// called before the first run.
func (w *Writer) WithMemory(memory *budget.Budget) *Writer {
	w.index.memory = memory
	return w
}

// Run brings the push branch up to date with the edits, in at most one push. The
// result is meaningful with an error too: it counts the races that were lost.
func (w *Writer) Run(ctx context.Context, req Request) (result Result, err error) {
	refs := w.refs.begin(req.Remote.ID(), req.Remote.Namespace)
	defer refs.end()
	locked := branch{req.Remote.String(), req.Push}
	if err := w.locks.Acquire(ctx, locked); err != nil {
		return Result{}, err
	}
	defer w.locks.Release(locked)
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		return Result{}, err
	}
	defer func() { refs.setLastHead(req.Push, headAfter(req, result, err)) }()
	a := attempt{mirror: mirror, index: w.index, clock: w.clock, session: refs, req: req}
	idle, result, done, err := w.optimistic(ctx, a)
	if done {
		return result, err
	}
	for conflicts := 0; ; {
		result, err := a.run(ctx, idle)
		result.Conflicts = conflicts
		if !errors.Is(err, git.ErrNonFastForward) {
			return result, err
		}
		conflicts++
		result.Conflicts = conflicts
		if conflicts == maxAttempts {
			return result, fmt.Errorf("giving up after %d attempts: %w", conflicts, err)
		}
		if err := w.pause(ctx, conflicts); err != nil {
			return result, err
		}
		refs.invalidate()
	}
}

// headAfter is where a run leaves its branch; zero if it failed, or looked at more
// than the one branch.
func headAfter(req Request, result Result, err error) plumbing.Hash {
	if err != nil || !req.usesOneBranch() {
		return plumbing.ZeroHash
	}
	return result.Source
}

// optimistic is an attempt that takes the branch to be where the last run left it, as
// it nearly always is, and pushes without asking: one request instead of two between
// an image and its commit. The remote compares the branch when it is pushed, so that a
// wrong head loses a race and nothing else.
//
// The run is done after a push, or an error other than a lost race. If there is
// nothing to push, the proposal is returned: the remote has to confirm its head.
func (w *Writer) optimistic(ctx context.Context, a attempt) (idle *plannedPush, result Result, done bool, err error) {
	if !a.req.usesOneBranch() {
		return nil, Result{}, false, nil
	}
	head := a.session.lastHead(a.req.Push)
	if !a.mirror.Has(head) {
		return nil, Result{}, false, nil
	}
	a.refs = map[string]plumbing.Hash{branchRef(a.req.Push): head}
	p, err := a.propose(ctx)
	switch {
	case err != nil:
		return nil, Result{}, false, nil
	case p.isEmpty():
		return &p, Result{}, false, nil
	}
	result, err = a.publish(ctx, p)
	return nil, result, !errors.Is(err, git.ErrNonFastForward), err
}

// pause waits a random time that doubles on average with every lost race, so
// that writers that collided do not collide again.
func (w *Writer) pause(ctx context.Context, conflicts int) error {
	limit := min(maxPause, 25*time.Millisecond<<conflicts)
	select {
	case <-w.clock.After(rand.N(limit)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
