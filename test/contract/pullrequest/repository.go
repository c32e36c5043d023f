// SPDX-License-Identifier: Apache-2.0

// Package pullrequest is the contract that every forge of package promotion/forge keeps
// over the life of a pull request: opened, found, updated, approved, checked, merged by
// each method, refused when the head moved, closed by whom, reopened, never taken from
// a fork. It runs on a real Gitea, and on servers in the process that enforce what is
// peculiar about each of the other forges.
package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/harness"
)

// Base is the branch that pull requests go into.
const Base = "main"

// Branch is the branch that pull requests come from.
const Branch = "sluice/apps.shop.production"

// Repository is a repository at a forge, with a commit on [Base]. It has two users: the
// one whose credential is under test, and Person.
type Repository interface {
	// Forge is the repository as the user under test.
	Forge() forge.Forge
	// Provider is its name in forge.Providers.
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
	// Person is the login of the other user.
	Person() string
	// ApproveAsPerson approves a pull request as Person.
	ApproveAsPerson(number int64)
	// CloseAsPerson closes a pull request as Person.
	CloseAsPerson(number int64)
}

// suite is one test of the contract: a repository, and steps that fail the test.
type suite struct {
	*testing.T
	Repository
	ctx context.Context
	can forge.Capabilities
	// branch is what is proposed.
	branch string
}

// open pushes a commit to the branch and proposes it.
func (s suite) open(edit func(*forge.NewPullRequest)) *forge.PullRequest {
	s.Helper()
	s.Push(s.branch)
	return s.propose(edit)
}

func (s suite) propose(edit func(*forge.NewPullRequest)) *forge.PullRequest {
	s.Helper()
	p := forge.NewPullRequest{Base: Base, Branch: s.branch, Text: forge.Text{Title: "Promote shop to production", Body: "api 1.4.2"}}
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

func (s suite) get(number int64) *forge.PullRequest {
	s.Helper()
	pr, err := s.Forge().Get(s.ctx, number)
	if err != nil {
		s.Fatal(err)
	}
	return pr
}

func (s suite) find() *forge.PullRequest {
	s.Helper()
	pr, err := s.Forge().Find(s.ctx, Base, Branch)
	if err != nil {
		s.Fatal(err)
	}
	return pr
}

// until reads a pull request until it is as it should be; forges compute in the
// background.
func (s suite) until(number int64, what string, is func(*forge.PullRequest) bool) *forge.PullRequest {
	s.Helper()
	var last *forge.PullRequest
	s.await("a pull request that is "+what, func() (bool, string) {
		last = s.get(number)
		return is(last), fmt.Sprintf("%+v", last)
	})
	return last
}

// await waits for what a forge does in the background.
func (s suite) await(what string, done func() (bool, string)) {
	s.Helper()
	if _, err := harness.Eventually(s.ctx, what, harness.Patience, func(context.Context) (bool, string) { return done() }); err != nil {
		s.Fatal(err)
	}
}

// mergeable waits until the forge says that a pull request can be merged, if it ever does.
func (s suite) mergeable(number int64) *forge.PullRequest {
	s.Helper()
	return s.until(number, "mergeable", func(pr *forge.PullRequest) bool { return pr.Mergeable == forge.Yes || !s.can.Mergeability })
}

// merge merges, and waits for what is done in the background.
func (s suite) merge(number int64, m forge.Merge) *forge.PullRequest {
	s.Helper()
	var merged *forge.PullRequest
	s.retryTransient(func() (err error) {
		merged, err = s.Forge().Merge(s.ctx, number, m)
		return err
	})
	if merged.State == forge.Merged {
		return merged
	}
	return s.until(number, "merged", func(pr *forge.PullRequest) bool { return pr.State == forge.Merged })
}

// retryTransient does again what is refused for a reason that passes.
func (s suite) retryTransient(do func() error) {
	s.Helper()
	var err error
	s.await("what the forge refuses for a moment", func() (bool, string) {
		err = do()
		var not *forge.NotMergeable
		return !errors.As(err, &not) || !not.Transient, fmt.Sprint(err)
	})
	if err != nil {
		s.Fatal(err)
	}
}

func (s suite) wantError(got, want error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Fatalf("got %v, want %v", got, want)
	}
}
