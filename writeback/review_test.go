// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestAReviewSaysWhatAPushWouldDo(t *testing.T) {
	_, repo, _ := newFleet(t)
	w := newWriter(t)
	nothing, err := w.Review(t.Context(), proposed(repo, "1"))
	if err != nil || nothing.Digest != "" || !nothing.Tip.IsZero() {
		t.Fatalf("nothing to do is %+v, %v", nothing, err)
	}
	first, err := w.Review(t.Context(), proposed(repo, "2"))
	if err != nil || first.Digest == "" || !first.Tip.IsZero() || first.Same {
		t.Fatalf("the first is %+v, %v", first, err)
	}
	if repo.Has(proposal) {
		t.Fatal("a review pushed something")
	}
	done, err := w.Push(t.Context(), first)
	if err != nil || done.Commit.String() != repo.Head(proposal) {
		t.Fatalf("pushed %s, %v", done.Commit, err)
	}
	again, err := w.Review(t.Context(), proposed(repo, "2"))
	if err != nil || !again.Same || !again.Ours || again.Tip != done.Commit || again.Digest != first.Digest {
		t.Errorf("what is there is %+v, %v", again, err)
	}
	other, err := w.Review(t.Context(), proposed(repo, "3"))
	if err != nil || other.Same || !other.Ours || other.Digest == first.Digest {
		t.Errorf("another version is %+v, %v", other, err)
	}
	repo.Commit(proposal, gitserver.Files{"mine": "x"})
	if foreign, err := w.Review(t.Context(), proposed(repo, "2")); err != nil || foreign.Ours || foreign.Same {
		t.Errorf("somebody's branch is %+v, %v", foreign, err)
	}
}

// What nobody has looked at is not lost.
func TestAReviewedBranchThatMovedIsNotPushed(t *testing.T) {
	_, repo, _ := newFleet(t)
	w := newWriter(t)
	reviewed, err := w.Review(t.Context(), proposed(repo, "2"))
	if err != nil {
		t.Fatal(err)
	}
	repo.Git("branch", proposal, "main")
	theirs := repo.Commit(proposal, gitserver.Files{"mine": "x"})
	if _, err := w.Push(t.Context(), reviewed); !errors.Is(err, git.ErrNonFastForward) || repo.Head(proposal) != theirs {
		t.Errorf("got %v; the branch is at %s, want %s", err, repo.Head(proposal), theirs)
	}
}

func TestNothingIsReviewedOrPushedWithoutTime(t *testing.T) {
	_, repo, _ := newFleet(t)
	w := newWriter(t)
	reviewed, err := w.Review(t.Context(), proposed(repo, "2"))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Review(ended, proposed(repo, "2")); !errors.Is(err, context.Canceled) {
		t.Errorf("reviewed: %v", err)
	}
	if _, err := w.Push(ended, reviewed); !errors.Is(err, context.Canceled) || repo.Has(proposal) {
		t.Errorf("pushed: %v", err)
	}
}
