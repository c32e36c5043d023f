// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"maps"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// pushedHeads are the branches that we pushed to, or that a forge merged into, and those that
// their GitRepository does not follow, with the revision that it had then: until it has another
// one, we know better.
type pushedHeads struct {
	known map[branchKey]pushedHead // of the one run at a time

	mu sync.Mutex
	// unseen are branches that we pushed to, or are about to, while nobody has looked at another
	// revision of their GitRepository since.
	unseen map[branchKey]bool
}

type pushedHead struct {
	commit   plumbing.Hash
	revision string // of the GitRepository, before the push
}

// set records the commit that a branch points to now.
func (h *pushedHeads) set(repo *repository, branch string, commit plumbing.Hash) {
	label, _ := repo.revision()
	if h.known == nil {
		h.known = map[branchKey]pushedHead{}
	}
	h.known[repo.branch(branch)] = pushedHead{commit: commit, revision: label}
}

// restore notes a commit that a branch had at some time, and that its GitRepository may not have: the
// remote is asked for what it has now.
func (h *pushedHeads) restore(repo *repository, branch, commit string) {
	h.set(repo, branch, plumbing.NewHash(commit))
	h.known[repo.branch(branch)] = pushedHead{commit: plumbing.NewHash(commit)} // of no revision that a GitRepository has
}

// pushing notes that a branch is about to be pushed to: its GitRepository may move past our
// commit before the push is over.
func (h *pushedHeads) pushing(at branchKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unseen == nil {
		h.unseen = map[branchKey]bool{}
	}
	h.unseen[at] = true
}

// markSeen notes that a revision is looked at which the GitRepository of a branch had after a push.
func (h *pushedHeads) markSeen(at branchKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unseen, at)
}

// isUnseen reports whether a branch was pushed to, and no other revision of its GitRepository was
// looked at since.
func (h *pushedHeads) isUnseen(at branchKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unseen[at]
}

// forgetOthers forgets the heads of branches that their GitRepositories do not follow: nobody
// tells of what others commit there.
func (h *pushedHeads) forgetOthers(repos repositories) {
	followed := map[branchKey]bool{}
	for _, repo := range repos {
		if repo != nil {
			label, _ := repo.revision()
			branch, _, _ := strings.Cut(label, "@")
			followed[repo.branch(branch)] = true
		}
	}
	maps.DeleteFunc(h.known, func(branch branchKey, _ pushedHead) bool { return !followed[branch] })
}

// newest is the newest commit of a branch that is known, which is in the mirror then. The
// GitRepository tells of its own branch, and we of what we pushed after that. A
// GitRepository that moved to another commit than ours since our push may be ahead of it
// or, if it fetched just before, behind: then the remote is asked, unless the mirror knows
// that it is ahead, as it does of what this process pushed for other pipelines.
func (h *pushedHeads) newest(ctx context.Context, repo *repository, branch string) (plumbing.Hash, error) {
	ref := plumbing.NewBranchReferenceName(branch).String()
	label, commit := repo.revision()
	pushed, wePushed := h.known[repo.branch(branch)]
	if wePushed && pushed.revision == label {
		return pushed.commit, repo.mirror.Fetch(ctx, ref, pushed.commit) // asks nothing while the mirror has it
	}
	follows := strings.HasPrefix(label, branch+"@") && !commit.IsZero()
	if !follows || wePushed && !isOnTop(repo.mirror, commit, pushed.commit) {
		var err error
		if commit, err = repo.mirror.Resolve(ctx, ref); err != nil {
			return commit, err
		}
	}
	if err := repo.mirror.Fetch(ctx, ref, commit); err != nil {
		return commit, err
	}
	if wePushed || !follows {
		h.set(repo, branch, commit)
	}
	h.markSeen(repo.branch(branch))
	return commit, nil
}

// mostBetween bounds the commits that are looked at between two of a branch.
const mostBetween = 100

// isOnTop reports whether a commit is another one or was made on top of it, as far as the
// mirror knows, which has no history but of the commits that passed through it.
func isOnTop(m *git.Mirror, commit, of plumbing.Hash) bool {
	next := []plumbing.Hash{commit}
	for i := 0; i < len(next) && i < mostBetween; i++ {
		if next[i] == of {
			return true
		}
		if !m.Has(next[i]) {
			continue
		}
		if tree, err := m.Tree(next[i]); err == nil {
			next = append(next, tree.Parents()...)
		}
	}
	return false
}
