// SPDX-License-Identifier: Apache-2.0

// Package git keeps bare mirrors of remote repositories and does the few things
// that a continuous delivery needs of Git, at a cost that follows the change:
//
//	Resolve   what the remote says a ref is now         one round trip
//	Fetch     the objects that the mirror lacks          the delta
//	Tree      a commit's files, read from the mirror     what is looked at
//	Write     changed files as a new commit              what changed
//	Push      the new commit, if the ref did not move    what changed
//
// There is one mirror per URL and credential, shared by all who use it, so that
// what one has fetched or pushed the others already have. There is no checkout
// and no history: a mirror is shallow, and knows each commit's files only.
//
// Errors never contain credentials. Those that callers branch on are sentinels:
// [ErrUnauthorized], [ErrRefNotFound], [ErrNonFastForward] and the rest.
//
// Mirrors, the writer of trees, the session over SSH and the CONNECT through a proxy are
// written by hand although go-git is among the dependencies: its client commits from a
// worktree and its index, asks for no thin packs, and does not bound what a server sends
// (docs/adr/0001-no-checkout.md and 0002-own-pack-code.md). What the parts cost in a large
// repository is measured by
//
//	go test -run xxx -bench LargeRepository ./internal/git
package git

import (
	"errors"

	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// What may go wrong with a remote, for callers to branch on.
var (
	// ErrUnauthorized means that the remote refuses the credentials.
	ErrUnauthorized = errors.New("the remote refuses the credentials")
	// ErrCredentials means that a key, a certificate or a proxy of an [Auth] cannot be
	// used, or is missing. The remote was not asked.
	ErrCredentials = errors.New("unusable credentials")
	// ErrRepositoryNotFound means that the remote has no such repository, or
	// hides it from these credentials.
	ErrRepositoryNotFound = errors.New("repository not found")
	// ErrRefNotFound means that the remote has no such ref or commit.
	ErrRefNotFound = errors.New("ref not found")
	// ErrNonFastForward means that the ref moved since it was resolved. Resolve
	// again, make the change on the new head, and push again.
	ErrNonFastForward = errors.New("the remote ref has moved")
	// ErrRejected means that the remote's own rules refuse the push.
	ErrRejected = errors.New("the remote rejected the push")
	// ErrHostKey means that an SSH server's key is not the one that is known, or
	// that none is.
	ErrHostKey = errors.New("the server's SSH host key is not accepted")
	// ErrUnreachable means that the remote did not answer, or not in time.
	ErrUnreachable = errors.New("the remote cannot be reached")
	// ErrUnsupportedURL means that the URL's scheme is none that is spoken here.
	ErrUnsupportedURL = errors.New("unsupported repository URL")
	// ErrEmptyRepository means that the remote has no commit at all.
	ErrEmptyRepository = errors.New("git repository is empty")
	// ErrInvalidReference means that a [Reference] cannot name a commit, whatever
	// the remote has.
	ErrInvalidReference = errors.New("invalid reference")
	// ErrObjectFormat means that the repository has object ids other than SHA-1.
	ErrObjectFormat = protocol.ErrObjectFormat
	// ErrMissing means that the mirror does not have the object. Fetch it.
	ErrMissing = errors.New("object is not in the mirror")
)

// Signature names who made a commit, and when.
type Signature = object.Signature

// CommitInfo is what a commit says besides its files.
type CommitInfo struct {
	Author, Committer Signature
	Message           string
	// Signer signs the commit, if it is not nil.
	Signer Signer
}
