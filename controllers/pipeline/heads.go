// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// heads are the branches that we pushed to, or that a forge merged into, and the revision
// that their GitRepository had then: until it has another one, we know better.
type heads map[branchKey]pushedHead

type pushedHead struct {
	commit   plumbing.Hash
	revision string // of the GitRepository, before the push
}

// moved notes the commit that a branch has by now.
func (h heads) moved(repo *repository, branch string, commit plumbing.Hash) {
	label, _ := repo.revision()
	h[repo.at(branch)] = pushedHead{commit: commit, revision: label}
}

// newest is the newest commit of a branch that is known, which is in the mirror then. The
// GitRepository tells of its own branch, and we of what we pushed after that. A
// GitRepository that moved to another commit than ours since our push may be ahead of it
// or, if it fetched just before, behind: then the remote is asked.
func (h heads) newest(ctx context.Context, repo *repository, branch string) (plumbing.Hash, error) {
	ref := plumbing.NewBranchReferenceName(branch).String()
	label, commit := repo.revision()
	pushed, wePushed := h[repo.at(branch)]
	if wePushed && pushed.revision == label {
		return pushed.commit, nil
	}
	delete(h, repo.at(branch))
	if follows := strings.HasPrefix(label, branch+"@"); !follows || commit.IsZero() || wePushed && commit != pushed.commit {
		var err error
		if commit, err = repo.mirror.Resolve(ctx, ref); err != nil {
			return commit, err
		}
	}
	if wePushed {
		h.moved(repo, branch, commit)
	}
	return commit, repo.mirror.Fetch(ctx, ref, commit)
}
