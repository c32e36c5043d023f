// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"

	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// Merging is what came of what was asked about the merge of a pull request.
type Merging struct {
	// Merged is the pull request as it was after a merge: still open where the forge merges in the
	// background; nil if no merge was asked for, or it was not done.
	Merged *PullRequest
	// Moved means that somebody pushed, so that the head that was judged is another one now; Refused
	// that the forge does not do it, and why; Ready that it need not be asked to merge by itself,
	// since it could merge now.
	Moved   bool
	Refused *NotMergeable
	Ready   bool
}

// PerformMerge asks a forge for what was decided about the merge of a pull request.
func PerformMerge(ctx context.Context, f Forge, number int64, do pullrequest.MergeAction, m Merge) (done Merging, err error) {
	switch do {
	case pullrequest.Enqueue:
		err = f.Enqueue(ctx, number, m.HeadSHA)
	case pullrequest.ManualMerge:
		err = f.DisableAutoMerge(ctx, number)
	case pullrequest.AutoMerge:
		err = f.EnableAutoMerge(ctx, number, m)
	default:
		done.Merged, err = f.Merge(ctx, number, m)
	}
	switch {
	case errors.Is(err, ErrHeadMoved):
		return Merging{Moved: true}, nil
	case errors.As(err, &done.Refused):
		return Merging{Refused: done.Refused}, nil
	case errors.Is(err, ErrMergeableNow):
		return Merging{Ready: true}, nil
	}
	return done, err
}
