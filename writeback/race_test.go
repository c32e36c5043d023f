// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// TestWritersRace lets five processes write 125 commits to one branch,
// every writer to its own file: no commit is lost and none is made twice.
func TestWritersRace(t *testing.T) {
	t.Parallel() // most of it is the Git server's work
	const writers, commits = 5, 25
	repo := gitserver.New(t).Repo("app")
	files := gitserver.Files{}
	for i := range writers {
		files[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf("image: app:0 # {\"$imagepolicy\": \"apps:p%d\"}\n", i)
	}
	repo.Commit("main", files)

	var group sync.WaitGroup
	for i := range writers {
		w := newWriter(t)
		group.Go(func() {
			for n := 1; n <= commits; n++ {
				if err := release(t.Context(), w, repo, i, n); err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()

	if count := repo.Git("rev-list", "--count", "main"); count != fmt.Sprint(1+writers*commits) {
		t.Errorf("%s commits, want %d", count, 1+writers*commits)
	}
	log := repo.Git("log", "--format=%s", "main")
	for i := range writers {
		for n := 1; n <= commits; n++ {
			if got := strings.Count(log+"\n", fmt.Sprintf("p%d to %d\n", i, n)); got != 1 {
				t.Errorf("writer %d's commit %d is there %d times", i, n, got)
			}
		}
		if got := repo.File("main", fmt.Sprintf("%d.yaml", i)); !strings.HasPrefix(got, fmt.Sprintf("image: app:%d ", commits)) {
			t.Errorf("writer %d's file ends as %s", i, got)
		}
	}
	repo.Git("fsck", "--strict")
}

// release makes commit n of writer i, again for as long as it loses races, as a
// controller would.
func release(ctx context.Context, w *writeback.Writer, repo *gitserver.Repo, i, n int) error {
	for {
		result, err := w.Run(ctx, policyRequest(repo, i, n))
		if errors.Is(err, git.ErrNonFastForward) {
			continue
		}
		if err == nil && result.Commit.IsZero() {
			return fmt.Errorf("commit %d was not made", n)
		}
		return err
	}
}

// policyRequest asks for app:<n> of policy p<i>.
func policyRequest(repo *gitserver.Repo, i, n int) writeback.Request {
	req := request(repo, "")
	imagesOf(&req).Policies.Chosen = map[string]edit.Image{fmt.Sprintf("p%d", i): {Name: "app", Tag: fmt.Sprint(n)}}
	req.Message = func(context.Context, writeback.Changed) (string, error) { return fmt.Sprintf("p%d to %d", i, n), nil }
	return req
}

// TestACommitIsOneRequest counts the round trips of runs, alone and waiting for one
// another, and of one that comes when somebody else has moved the branch.
func TestACommitIsOneRequest(t *testing.T) {
	const runs = 6
	server := gitserver.New(t)
	repo := server.Repo("app")
	files := gitserver.Files{}
	for i := range runs {
		files[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf("image: app:0 # {\"$imagepolicy\": \"apps:p%d\"}\n", i)
	}
	repo.Commit("main", files)
	w := newWriter(t)
	if err := release(t.Context(), w, repo, 0, 1); err != nil { // asks what a first run asks
		t.Fatal(err)
	}
	head := repo.Head("main")
	requests := func(do func()) int {
		before := server.Requests()
		do()
		return server.Requests() - before
	}
	if alone := requests(func() {
		if err := release(t.Context(), w, repo, 0, 2); err != nil {
			t.Fatal(err)
		}
	}); alone != 1 {
		t.Errorf("one run cost %d requests", alone)
	}
	if together := requests(func() {
		var group sync.WaitGroup
		for i := range runs {
			group.Go(func() {
				if err := release(t.Context(), w, repo, i, 3); err != nil {
					t.Errorf("run %d: %v", i, err)
				}
			})
		}
		group.Wait()
	}); together != runs {
		t.Errorf("%d runs cost %d requests", runs, together)
	}
	if count := repo.Git("rev-list", "--count", head+"..main"); count != fmt.Sprint(1+runs) {
		t.Errorf("%s commits, want %d", count, 1+runs)
	}

	theirs := repo.Commit("main", gitserver.Files{"README": "theirs"})
	result, err := w.Run(t.Context(), policyRequest(repo, 0, 4))
	if err != nil || result.Commit.IsZero() || result.Conflicts != 0 {
		t.Errorf("after somebody else's commit: %+v, %v", result, err)
	}
	if parent := repo.Head("main^"); parent != theirs {
		t.Errorf("the parent is %s, want %s", parent, theirs)
	}
	if again, err := w.Run(t.Context(), policyRequest(repo, 0, 4)); err != nil || !again.Commit.IsZero() || again.Source != result.Commit {
		t.Errorf("with nothing to write: %+v, %v", again, err)
	}
}
