// SPDX-License-Identifier: Apache-2.0

// Package pullrequest is the life of a pull request, as every forge of package
// promotion/forge has to tell it: opened, found, updated, approved, checked, merged by
// each method, refused when the head moved, closed by whom, reopened, never taken from
// a fork. It runs on a real Gitea, and on servers in the process that enforce what is
// peculiar about each of the other forges.
package pullrequest

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// Base is the branch that pull requests of a scene go into.
const Base = "main"

// Branch is the branch of a stage.
const Branch = "sluice/apps.shop.production"

// Scene is a repository at a forge with one person beside us. The repository has a
// commit on [Base].
type Scene interface {
	// Forge is the repository as us.
	Forge() forge.Forge
	// Provider is the name in the table.
	Provider() string
	// Push makes a commit on a branch, which is made from Base if there is none, and
	// returns it.
	Push(branch string) string
	// DeleteBranch deletes a branch.
	DeleteBranch(branch string)
	// Head is the commit of a branch.
	Head(branch string) string
	// OpenFromFork opens a pull request from a fork whose branch has this name.
	OpenFromFork(branch string)
	// Require makes Base demand an approval and a successful check of this name.
	Require(check string)
	// Allow makes the repository allow a merge method, if it allows one at a time.
	Allow(method forge.Method)
	// Approve approves as the person, whose login is Person.
	Approve(number int64)
	// ClosePerson closes as the person.
	ClosePerson(number int64)
	Person() string
}

// stage is a scene and how to go on when something fails.
type stage struct {
	*testing.T
	Scene
	ctx context.Context
	can forge.Capabilities
	// branch is what is proposed.
	branch string
}

// open pushes a commit to the branch and proposes it.
func (s stage) open(edit func(*forge.Proposal)) *forge.PullRequest {
	s.Helper()
	s.Push(s.branch)
	return s.propose(edit)
}

func (s stage) propose(edit func(*forge.Proposal)) *forge.PullRequest {
	s.Helper()
	p := forge.Proposal{Base: Base, Branch: s.branch, Text: forge.Text{Title: "Promote shop to production", Body: "api 1.4.2"}}
	if edit != nil {
		edit(&p)
	}
	pr, err := s.Forge().Open(s.ctx, p)
	if err != nil {
		s.Fatal(err)
	}
	if len(pr.Warnings) > 0 {
		s.Errorf("warnings: %v", pr.Warnings)
	}
	return s.get(pr.Number)
}

func (s stage) get(number int64) *forge.PullRequest {
	s.Helper()
	pr, err := s.Forge().Get(s.ctx, number)
	if err != nil {
		s.Fatal(err)
	}
	return pr
}

func (s stage) find() *forge.PullRequest {
	s.Helper()
	pr, err := s.Forge().Find(s.ctx, Base, Branch)
	if err != nil {
		s.Fatal(err)
	}
	return pr
}

// until reads a pull request until it is as it should be; forges compute in the
// background.
func (s stage) until(number int64, what string, is func(*forge.PullRequest) bool) *forge.PullRequest {
	s.Helper()
	var last *forge.PullRequest
	for range 200 {
		if last = s.get(number); is(last) {
			return last
		}
		pause()
	}
	s.Fatalf("the pull request is never %s: %+v", what, last)
	return nil
}

// merge merges, and waits for what is done in the background.
func (s stage) merge(number int64, m forge.Merge) *forge.PullRequest {
	s.Helper()
	var merged *forge.PullRequest
	s.eventually(func() (err error) {
		merged, err = s.Forge().Merge(s.ctx, number, m)
		return err
	})
	if merged.State == forge.Merged {
		return merged
	}
	return s.until(number, "merged", func(pr *forge.PullRequest) bool { return pr.State == forge.Merged })
}

// eventually does again what is refused for a reason that passes.
func (s stage) eventually(do func() error) {
	s.Helper()
	var err error
	for range 200 {
		err = do()
		var not *forge.NotMergeable
		if !errors.As(err, &not) || !not.Transient {
			break
		}
		pause()
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s stage) wantError(got, want error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Fatalf("got %v, want %v", got, want)
	}
}
