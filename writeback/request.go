// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// What may go wrong that is not Git's fault, for callers to branch on.
var (
	// ErrUpdate means that the files could not be edited.
	ErrUpdate = errors.New("updating files")
	// ErrDiverged means that the destination of a refspec has commits that are not
	// known to be part of what would replace them.
	ErrDiverged = errors.New("the destination has other commits")
)

// Request is one run: which edits to commit where.
type Request struct {
	Remote git.Remote
	// Checkout is what to edit, and Push the branch to commit to. If they differ,
	// the push branch is kept on top of the checkout: see [Result.Foreign].
	Checkout git.Reference
	Push     string
	// Refspec pushes to another ref as well; zero pushes to none.
	Refspec Refspec
	// Options are sent with every push.
	Options map[string]string
	Edits   Edits
	Author  git.Signature // its time is set by the writer
	Signer  git.Signer    // nil leaves commits unsigned
	// Message renders the commit message.
	Message func(context.Context, Changed) (string, error)
	// Last is what is known of the run before.
	Last Last
	// BeforePush is called before a commit is pushed to a branch that is not the checkout, on top of
	// that, with what is known before the push; what it keeps is [Last.Pending] of the next run. The
	// commit is not pushed if it fails; nil keeps nothing.
	BeforePush func(ctx context.Context, commit plumbing.Hash, known Result) error
}

// usesOneBranch reports whether a run reads and moves no ref but its push branch.
func (r Request) usesOneBranch() bool {
	return r.Checkout.BranchName() == r.Push && r.Refspec == Refspec{}
}

// neededRefs are the refs that a run reads; none means that it has to see all.
func (r Request) neededRefs() []string {
	checkout := r.Checkout.BranchName()
	if checkout == "" {
		return nil
	}
	needed := []string{branchRef(checkout), branchRef(r.Push)}
	if r.Refspec.Target != "" {
		needed = append(needed, r.Refspec.Target)
	}
	return needed
}

// Edits are what a run wants the files of a branch to say. [ImageEdits] are those of
// image policies; whoever promotes something else between branches brings others.
// They depend on the files alone, so that planning again after a crash, or a lost
// race, finds what is left to do and nothing else.
type Edits interface {
	// Plan says what has to change in files.
	Plan(ctx context.Context, index *Index, files Files) (Planned, error)
	// Split returns edits that together make what was planned, one commit each, in
	// order. None means that everything goes into one commit.
	Split(planned Planned) []Edits
	// WithoutReverted finds which planned updates somebody else reverted since the
	// last run, and returns the edits without them. They are returned as they are if
	// nothing was reverted.
	WithoutReverted(ctx context.Context, index *Index, planned Planned, h History) ([]RevertedUpdate, Edits)
}

// History is what is known of earlier states of the files that are edited.
type History struct {
	// Files are the files of Head, the commit that is edited.
	Files Files
	Head  plumbing.Hash
	// Before returns the files as the last run left them. It is false if that is not
	// known, is the same commit, or the branch was set back to an older commit: then
	// nothing tells of a revert.
	Before func(context.Context) (Files, bool)
	// Pushed returns the files of LastPush, the last pushed commit, if they are known.
	Pushed   func() (Files, bool)
	LastPush plumbing.Hash
}

// Last is what the run before left, as the caller remembers it. The zero value
// is a first run.
type Last struct {
	// Source is the commit of the checkout that the run saw, or left there.
	Source plumbing.Hash
	// Push is the last commit that was pushed, by whichever run. Base is what the
	// pushed commits were made on, if the push branch is not the checkout and has
	// nothing besides.
	Push, Base plumbing.Hash
	// Pending is a commit that was about to be pushed, and PendingBase what it was made on. If the push
	// branch is there, it was pushed, and is the last push.
	Pending, PendingBase plumbing.Hash
}

// isPending reports whether a push branch is at what was about to be pushed.
func (l Last) isPending(tip plumbing.Hash) bool { return !tip.IsZero() && tip == l.Pending }

// at is what is known of the last run where the push branch is at a commit.
func (l Last) at(tip plumbing.Hash) Last {
	if l.isPending(tip) {
		l.Push, l.Base = l.Pending, l.PendingBase
	}
	return l
}

// Commit is one commit of a push.
type Commit struct {
	Hash    plumbing.Hash
	Message string
	Changed Changed
}

// RevertedUpdate is an update that was pushed and that somebody else reverted.
type RevertedUpdate struct {
	Policy string
	Image  edit.Image
	// Reverted is the last pushed commit, if it had the image; By the commit in
	// which the image is seen to be gone.
	Reverted, By plumbing.Hash
}

// Result is what a run found and did.
type Result struct {
	// Source is the commit of the checkout that the run has seen; after a push to
	// the branch that was checked out, the pushed commit. Label is what revisions
	// call the checkout: the name of its branch or tag, or its full name.
	Source plumbing.Hash
	Label  string
	// Commit is what was pushed last, zero if there was nothing to do, and Message
	// its message. Changed is what all commits changed.
	Commit  plumbing.Hash
	Message string
	Changed Changed
	// Commits are all that were pushed, in order.
	Commits []Commit
	// Base is the commit of the checkout that the push branch is built on, zero
	// when that is not known.
	Base plumbing.Hash
	// Foreign is the tip of the push branch when someone else committed there. The
	// branch is extended then and keeps what it has; else it would have been built
	// anew on the checkout.
	Foreign plumbing.Hash
	// Recovered is the tip of the push branch if that is [Last.Pending], so that it was pushed by a run
	// that did not say so; else zero.
	Recovered plumbing.Hash
	// Withdrawn is what the push branch had when it proposed what is not wanted any
	// more, and was set to the checkout; else zero.
	Withdrawn plumbing.Hash
	Report    Report
	// Held is not nil when a policy was held back because its image lacks a part;
	// the others were written.
	Held *HeldError
	// Reverted are the updates that are not written because somebody reverted them.
	// They are for the caller to remember, and to name in [Policies.Held] from then on.
	Reverted []RevertedUpdate
	// Conflicts counts the pushes that lost a race.
	Conflicts int
}
