// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
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

// The status that names the last push may be lost between the push and the write of it, or
// with its object. One commit for each policy is still what we made.
func TestCommitsOfEachPolicyAreOursWithoutAStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(*gitserver.Repo)
		want    bool
	}{
		"nobody touched it":        {func(*gitserver.Repo) {}, true},
		"a person committed on it": {func(r *gitserver.Repo) { r.Commit(proposal, gitserver.Files{"mine": "x"}) }, false},
		"a person committed below": {func(r *gitserver.Repo) {
			ours := r.Git("rev-parse", proposal+"^{tree}")
			r.Git("update-ref", "refs/heads/"+proposal, "main")
			r.Commit(proposal, gitserver.Files{"mine": "x"})
			commitAsBot(r, ours)
		}, false},
		"it has more of them than there are policies": {func(r *gitserver.Repo) { commitAsBot(r, r.Git("rev-parse", "main^{tree}")) }, false},
		"the checkout moved":                          {func(r *gitserver.Repo) { r.Commit("main", gitserver.Files{"other": "x"}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			repo, req := proposedByPolicy(t)
			w := newWriter(t)
			first, err := w.Review(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			pushed, err := w.Push(t.Context(), first)
			if err != nil || len(pushed.Commits) != 3 {
				t.Fatalf("pushed %d commits, %v", len(pushed.Commits), err)
			}
			tc.happens(repo)
			w = newWriter(t) // of another process
			if got, err := w.Review(t.Context(), req); err != nil || got.Ours != tc.want || got.Same != tc.want {
				t.Errorf("ours is %v and the same %v, %v; want %v", got.Ours, got.Same, err, tc.want)
			}
			head := repo.Head(proposal)
			result, err := w.Run(t.Context(), req) // without a pull request
			if err != nil || tc.want && repo.Head(proposal) != head || tc.want != result.Foreign.IsZero() {
				t.Errorf("ran to %+v, %v; the branch went from %s to %s", result, err, head, repo.Head(proposal))
			}
		})
	}
}

// proposedByPolicy asks for three policies' choices on a branch of its own, in one commit each.
func proposedByPolicy(t *testing.T) (*gitserver.Repo, writeback.Request) {
	t.Helper()
	repo := gitserver.New(t).Repo("fleet")
	files, chosen := gitserver.Files{}, map[string]edit.Image{}
	for _, policy := range []string{"a", "b", "c"} {
		files[policy+".yaml"] = fmt.Sprintf("image: %[1]s:1 # {\"$imagepolicy\": \"apps:%[1]s\"}\n", policy)
		chosen[policy] = edit.Image{Name: policy, Tag: "2"}
	}
	repo.Commit("main", files)
	req := proposed(repo, "")
	imagesOf(&req).CommitPerPolicy, imagesOf(&req).Policies.Chosen = true, chosen
	return repo, req
}

// commitAsBot adds a commit in our name to the proposal.
func commitAsBot(repo *gitserver.Repo, tree string) {
	made := repo.Git("-c", "author.name=bot", "-c", "author.email=bot@example.com", "-c", "committer.name=bot",
		"-c", "committer.email=bot@example.com", "commit-tree", tree, "-p", proposal, "-m", "Again")
	repo.Git("update-ref", "refs/heads/"+proposal, made)
}
