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
	// that the forge does not do it, and why.
	Moved   bool
	Refused *NotMergeable
}

// PerformMerge asks a forge for what was decided about the merge of a pull request. What could be merged
// by the forge itself now has nothing to wait for, and is merged.
func PerformMerge(ctx context.Context, f Forge, number int64, do pullrequest.Action, m Merge) (done Merging, err error) {
	switch do {
	case pullrequest.Enqueue:
		err = f.Enqueue(ctx, number, m.HeadSHA)
	case pullrequest.ManualMerge:
		err = f.DisableAutoMerge(ctx, number)
	case pullrequest.AutoMerge:
		if err = f.EnableAutoMerge(ctx, number, m); errors.Is(err, ErrMergeableNow) {
			done.Merged, err = f.Merge(ctx, number, m)
		}
	default:
		done.Merged, err = f.Merge(ctx, number, m)
	}
	switch {
	case errors.Is(err, ErrHeadMoved):
		return Merging{Moved: true}, nil
	case errors.As(err, &done.Refused):
		return Merging{Refused: done.Refused}, nil
	}
	return done, err
}
