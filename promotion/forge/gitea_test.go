// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"fmt"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/make"
)

// giteaRepository is a repository at a real Gitea.
type giteaRepository struct {
	*testing.T
	server              *gitea.Server
	repo                *gitea.Repo
	robot, alice, other *gitea.Person
	token               string
	commits             int
}

func TestGiteaItselfKeepsTheContractOfPullRequests(t *testing.T) {
	server := gitea.Require(t)
	people := map[string]*gitea.Person{}
	for _, name := range []string{us, person, "mallory"} {
		found, err := server.NewPerson(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		people[name] = found
	}
	// No more than what the provider says that it needs.
	token, err := people[us].NewToken(t.Context(), "write:repository", "write:issue", "read:user")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Admin.NewOrganization(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	n := 0
	pullrequest.Run(t, func(t *testing.T) pullrequest.Repository {
		n++
		repo, err := server.NewRepo(t.Context(), owner, fmt.Sprintf("fleet-%d", n), map[string]string{"image.txt": "1.0.0\n"})
		if err != nil {
			t.Fatal(err)
		}
		r := &giteaRepository{T: t, server: server, repo: repo, robot: people[us], alice: people[person], other: people["mallory"], token: token}
		r.must(repo.Invite(t.Context(), gitea.Write, r.robot, r.alice))
		r.must(repo.Allow(t.Context(), gitea.StyleMerge, gitea.StyleSquash, gitea.StyleRebase, gitea.StyleFastForward))
		return r
	})
}

func (r *giteaRepository) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *giteaRepository) Forge() forge.Forge {
	secret := make.Secret("apps", "forge", map[string]string{"token": r.token})
	f, err := forge.NewClients(forge.Options{}).For(forge.Remote{URL: r.repo.URL, Provider: forge.Gitea, Secret: secret})
	r.must(err)
	return f
}

func (r *giteaRepository) Provider() string { return forge.Gitea }
func (r *giteaRepository) Person() string   { return person }

func (r *giteaRepository) Head(branch string) string {
	head, err := r.repo.Head(r.Context(), branch)
	r.must(err)
	return head
}

func (r *giteaRepository) Push(branch string) string {
	r.commits++
	commit := gitea.Commit{Branch: branch, Message: "Promote", Files: map[string]string{"image.txt": fmt.Sprintf("1.0.%d\n", r.commits)}}
	if r.Head(branch) == "" {
		commit.From = pullrequest.Base
	}
	sha, err := r.robot.Commit(r.Context(), r.repo, commit)
	r.must(err)
	return sha
}

func (r *giteaRepository) DeleteBranch(branch string) {
	r.must(r.robot.DeleteBranch(r.Context(), r.repo, branch))
}

func (r *giteaRepository) OpenFromFork(branch string) {
	r.must(r.repo.Invite(r.Context(), gitea.Read, r.other))
	fork, err := r.other.Fork(r.Context(), r.repo)
	r.must(err)
	_, err = r.other.Commit(r.Context(), fork, gitea.Commit{
		Branch: branch, From: pullrequest.Base, Message: "Theirs", Files: map[string]string{"image.txt": "6.6.6\n"},
	})
	r.must(err)
	_, err = r.other.Open(r.Context(), r.repo, r.other.Name+":"+branch, pullrequest.Base, "theirs")
	r.must(err)
}

func (r *giteaRepository) Require(check string) {
	r.must(r.repo.Protect(r.Context(), gitea.Protection{Branch: pullrequest.Base, Statuses: []string{check}, Approvals: 1}))
}

func (r *giteaRepository) Allow(forge.Method) {} // all are allowed
func (r *giteaRepository) ApproveAsPerson(number int64) {
	r.must(r.alice.Approve(r.Context(), r.repo, number))
}
func (r *giteaRepository) CloseAsPerson(number int64) {
	r.must(r.alice.Close(r.Context(), r.repo, number))
}
