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

// Request is one run: which images to write where.
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
	// Path limits the run to a directory or a file; "" is everything.
	Path     string
	Policies Policies
	// PerPolicy makes one commit of each policy's changes instead of one of all.
	PerPolicy bool
	Author    git.Signature // its time is set by the writer
	Signer    git.Signer    // nil leaves commits unsigned
	// Message renders the commit message.
	Message func(context.Context, Changed) (string, error)
	// Last is what is known of the run before.
	Last Last
}

// Last is what the run before left, as the caller remembers it. The zero value
// is a first run.
type Last struct {
	// Source is the commit of the checkout that the run saw, or left there.
	Source plumbing.Hash
	// Choices are the images that the run wrote or found written. Of a policy that
	// still stands for the same image, a marker that has another value now and had
	// this one at Source was changed by someone else, on purpose.
	Choices map[string]edit.Image
	// Push is the last commit that was pushed, by whichever run. Base is what the
	// pushed commits were made on, if the push branch is not the checkout and has
	// nothing besides.
	Push, Base plumbing.Hash
}

// Commit is one commit of a push.
type Commit struct {
	Hash    plumbing.Hash
	Message string
	Changed Changed
}

// Undone is an update that someone else took back.
type Undone struct {
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
	// Withdrawn is what the push branch had when it proposed what is not wanted any
	// more, and was set to the checkout; else zero.
	Withdrawn plumbing.Hash
	Report    Report
	// Held is not nil when a policy was held back because its image lacks a part;
	// the others were written.
	Held *HeldError
	// Undone are the updates that are not written for they were taken back. They
	// are for the caller to remember, and to name in [Policies.Held] from then on.
	Undone []Undone
	// Conflicts counts the pushes that lost a race.
	Conflicts int
}
