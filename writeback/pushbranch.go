// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// commitFacts are what decisions need to know of a commit.
type commitFacts struct {
	hash    plumbing.Hash
	parents []plumbing.Hash
	// author and committer are e-mail addresses.
	author, committer string
	committed         time.Time
}

func factsOf(c *git.CommitTree) commitFacts {
	info := c.Info()
	return commitFacts{
		hash: c.Commit(), parents: c.Parents(),
		author: info.Author.Email, committer: info.Committer.Email, committed: info.Committer.When,
	}
}

// pushBranch is a push branch that is there already and is not the checkout.
type pushBranch struct {
	source commitFacts // the commit that is checked out
	tip    commitFacts // of the push branch
	// bottom is the lowest of the commits of our author that the branch ends with, as far as
	// one push may have made them: one for each policy. It is the tip if that is somebody else's.
	bottom commitFacts
	last   Last
	author string // the e-mail address of our commits
}

// isTip reports whether a push branch is at what the last run pushed on top of the
// checkout, so that nobody has touched it since.
func (l Last) isTip(tip plumbing.Hash) bool { return tip == l.Push && !l.Base.IsZero() }

// isOurs reports whether building the branch anew loses nobody's work: its tip is
// what the last run pushed, or commits of our author right on top of the checkout,
// or part of the checkout.
func (b pushBranch) isOurs() bool {
	switch {
	case b.last.isTip(b.tip.hash), b.tip.hash == b.source.hash, slices.Contains(b.source.parents, b.tip.hash):
		return true
	}
	return b.isOnTopOfSource() && b.tip.isBy(b.author)
}

// isBuiltOnSource reports whether the branch was built on the commit that is checked
// out now, and need not be built anew for that.
func (b pushBranch) isBuiltOnSource() bool {
	return b.last.Base == b.source.hash || b.isOnTopOfSource()
}

func (b pushBranch) isOnTopOfSource() bool {
	return slices.Equal(b.bottom.parents, []plumbing.Hash{b.source.hash})
}

// isBy reports whether one author wrote and made a commit.
func (c commitFacts) isBy(author string) bool { return c.author == author && c.committer == author }

// isSetBack reports whether a branch went from one commit to an older one, from which
// everything is to be done again. The mirror has no history: a child names its
// parent, and otherwise only the time of the commits tells.
func isSetBack(from, to commitFacts) bool {
	return !slices.Contains(to.parents, from.hash) && to.committed.Before(from.committed)
}
