// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
)

const proposal = "sluice/apps.shop.production"

// proposed asks for app:<tag> on a branch of its own.
func proposed(repo *gitserver.Repo, tag string) writeback.Request {
	req := request(repo, tag)
	req.Push = proposal
	return req
}

// anyTip discards whatever is on the branch.
func anyTip(*git.CommitTree) bool { return true }

// noTip discards nothing.
func noTip(*git.CommitTree) bool { return false }

func newFleet(t *testing.T) (*gitserver.Server, *gitserver.Repo, string) {
	t.Helper()
	server := gitserver.New(t)
	repo := server.Repo("fleet")
	return server, repo, repo.Commit("main", gitserver.Files{"a.yaml": marked, "other.yaml": "kind: None\n"})
}

func TestAProposalIsOneCommitOnItsBase(t *testing.T) {
	_, repo, base := newFleet(t)
	done, err := newWriter(t).Propose(t.Context(), proposed(repo, "2"), noTip)
	if err != nil {
		t.Fatal(err)
	}
	if !done.Pushed || done.Base.String() != base || done.Head.String() != repo.Head(proposal) {
		t.Errorf("it was left at %+v; the branch is at %s", done, repo.Head(proposal))
	}
	if parents := repo.Git("log", "-1", "--format=%P", proposal); parents != base {
		t.Errorf("its parents are %s, want %s", parents, base)
	}
	if got := repo.Git("diff", "--name-only", base, proposal); got != "a.yaml" || !strings.Contains(repo.File(proposal, "a.yaml"), "app:2 ") {
		t.Errorf("changed %q", got)
	}
	if said := repo.Git("log", "-1", "--format=%an <%ae> %B", proposal); !strings.HasPrefix(said, "bot <bot@example.com> Set a.yaml") {
		t.Errorf("it says %q", said)
	}
	if repo.Head("main") != base {
		t.Error("the base moved")
	}
}

func TestAProposalThatIsThereIsNotPushedAgain(t *testing.T) {
	_, repo, base := newFleet(t)
	first, err := newWriter(t).Propose(t.Context(), proposed(repo, "2"), noTip)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newWriter(t).Propose(t.Context(), proposed(repo, "2"), anyTip)
	if err != nil || again.Pushed || again.Head != first.Head || again.Base.String() != base {
		t.Errorf("it was left at %+v, %v; want %+v", again, err, first)
	}
}

func TestAProposalFollowsItsBaseAndItsVersion(t *testing.T) {
	for name, change := range map[string]func(*gitserver.Repo) (tag string){
		"the base moved": func(repo *gitserver.Repo) string {
			repo.Commit("main", gitserver.Files{"other.yaml": "x: 1\n"})
			return "2"
		},
		"the version is another":  func(*gitserver.Repo) string { return "3" },
		"somebody added a commit": func(repo *gitserver.Repo) string { repo.Commit(proposal, gitserver.Files{"mine": "x"}); return "2" },
	} {
		t.Run(name, func(t *testing.T) {
			_, repo, _ := newFleet(t)
			w := newWriter(t)
			if _, err := w.Propose(t.Context(), proposed(repo, "2"), noTip); err != nil {
				t.Fatal(err)
			}
			tag := change(repo)
			before := repo.Head(proposal)
			if _, err := w.Propose(t.Context(), proposed(repo, tag), noTip); !errors.Is(err, writeback.ErrForeignBranch) ||
				repo.Head(proposal) != before {
				t.Fatalf("what may not be discarded was: %v", err)
			}
			asked := ""
			done, err := w.Propose(t.Context(), proposed(repo, tag), func(tip *git.CommitTree) bool { asked = tip.Commit().String(); return true })
			if err != nil || !done.Pushed || asked != before {
				t.Fatalf("it was left at %+v, %v; asked about %s, want %s", done, err, asked, before)
			}
			if parents := repo.Git("log", "-1", "--format=%P", proposal); parents != repo.Head("main") || done.Base.String() != parents {
				t.Errorf("its parents are %s, want the head of main", parents)
			}
			if got := repo.Git("diff", "--name-only", "main", proposal); got != "a.yaml" ||
				!strings.Contains(repo.File(proposal, "a.yaml"), "app:"+tag+" ") {
				t.Errorf("it changes %q", got)
			}
		})
	}
}

// Somebody may have made the same change: who did it matters to those who merge it.
func TestTheSameChangeOfSomebodyElseIsNoProposalOfOurs(t *testing.T) {
	_, repo, base := newFleet(t)
	repo.Git("branch", proposal, base)
	theirs := repo.Commit(proposal, gitserver.Files{"a.yaml": strings.Replace(marked, ":1", ":2", 1)})
	done, err := newWriter(t).Propose(t.Context(), proposed(repo, "2"), anyTip)
	if err != nil || !done.Pushed || repo.Head(proposal) == theirs {
		t.Errorf("it was left at %+v, %v; theirs is %s", done, err, theirs)
	}
}

func TestNothingIsProposedThatTheBaseHas(t *testing.T) {
	_, repo, base := newFleet(t)
	done, err := newWriter(t).Propose(t.Context(), proposed(repo, "1"), noTip)
	if err != nil || !done.Head.IsZero() || done.Pushed || done.Base.String() != base || repo.Has(proposal) {
		t.Errorf("it was left at %+v, %v", done, err)
	}
}

// Between the look at a branch and the push to it somebody may push, too: what they did was
// not looked at, and stays.
func TestWhatIsPushedToAProposalMeanwhileIsNotLost(t *testing.T) {
	for name, first := range map[string]bool{"a branch that was there": true, "one that was not": false} {
		t.Run(name, func(t *testing.T) {
			server, repo, _ := newFleet(t)
			if first {
				repo.Commit(proposal, gitserver.Files{"a.yaml": marked})
			}
			theirs := ""

			undo := server.Intercept(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && theirs == "" {
						theirs = repo.Commit(proposal, gitserver.Files{"mine": "x"})
					}
					next.ServeHTTP(rw, r)
				})
			})
			defer undo()
			_, err := newWriter(t).Propose(t.Context(), proposed(repo, "2"), anyTip)
			if !errors.Is(err, git.ErrNonFastForward) || theirs == "" || repo.Head(proposal) != theirs {
				t.Errorf("got %v; theirs is %q, and the branch at %s", err, theirs, repo.Head(proposal))
			}
		})
	}
}

func TestAProposalThatCannotBeMade(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*writeback.Request)
		want   string
	}{
		"there is no base": {func(r *writeback.Request) { r.Checkout.Branch = "nowhere" }, "selecting what to check out"},
		"the edits fail":   {func(r *writeback.Request) { r.Edits = writeback.BundleEdits{Paths: []string{"nowhere"}} }, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			_, repo, _ := newFleet(t)
			req := proposed(repo, "2")
			tc.change(&req)
			_, err := newWriter(t).Propose(t.Context(), req, anyTip)
			if err == nil || !strings.Contains(err.Error(), tc.want) || repo.Has(proposal) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
