package git

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Mirrors is the set of all mirrors below one directory.
type Mirrors struct {
	dir   string
	clock clock.PassiveClock
}

// NewMirrors returns the mirrors kept below dir, which is made when needed.
func NewMirrors(dir string, clk clock.PassiveClock) *Mirrors {
	return &Mirrors{dir: dir, clock: clk}
}

var errSkeleton = errors.New("internal/git is being built")

// Get returns the mirror of a remote, which it opens but does not fetch.
func (m *Mirrors) Get(ctx context.Context, remote Remote) (*Mirror, error) { return nil, errSkeleton }

// Mirror is a bare, shallow copy of a remote repository. It is safe for
// concurrent use.
type Mirror struct{}

// Resolve asks the remote what a ref is now: a branch, a tag (peeled to its
// commit) or a full ref name. A commit id is returned as it is, unasked.
func (m *Mirror) Resolve(ctx context.Context, ref string) (plumbing.Hash, error) {
	return plumbing.ZeroHash, errSkeleton
}

// Fetch makes sure that the mirror has the commit that ref resolved to.
func (m *Mirror) Fetch(ctx context.Context, ref string, want plumbing.Hash) error { return errSkeleton }

// Has reports whether the mirror has a commit with all its files.
func (m *Mirror) Has(h plumbing.Hash) bool { return false }

// Tree returns the files of a commit that the mirror has.
func (m *Mirror) Tree(commit plumbing.Hash) (*CommitTree, error) { return nil, errSkeleton }

// Write makes a commit on base with the given files changed: path to content,
// nil to delete. Modes of existing files are kept.
func (m *Mirror) Write(ctx context.Context, base plumbing.Hash, changes map[string][]byte, commit CommitInfo) (plumbing.Hash, error) {
	return plumbing.ZeroHash, errSkeleton
}

// Push moves ref at the remote from old to new, a commit that Write made; zero
// old makes the branch. It fails with ErrNonFastForward when the ref is not at
// old any more.
func (m *Mirror) Push(ctx context.Context, ref string, old, new plumbing.Hash) error { //nolint:revive // old and new are the protocol's words
	return errSkeleton
}

// CommitTree is the tree of files of one commit.
type CommitTree struct{ tree.Tree }
