// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// StateFile is a small file on a branch of its own, which shares no history with others.
// It is written by compare-and-swap: of two who write at the same time one is refused,
// and reads again.
type StateFile struct {
	Remote git.Remote
	// Branch and Path of the file.
	Branch, Path string
	Author       git.Signature // its time is set by the writer
	Signer       git.Signer    // nil leaves commits unsigned
}

// ReadState returns the file, and the commit that has it. The commit is zero if there is
// no such branch, and the content nil if the branch does not have the file. It costs a
// round trip, and another one if the branch moved.
func (w *Writer) ReadState(ctx context.Context, f StateFile) (content []byte, at plumbing.Hash, err error) {
	mirror, err := w.mirrors.Get(ctx, f.Remote)
	if err != nil {
		return nil, at, err
	}
	at, err = mirror.Resolve(ctx, branchRef(f.Branch))
	if errors.Is(err, git.ErrRefNotFound) || errors.Is(err, git.ErrEmptyRepository) {
		return nil, plumbing.ZeroHash, nil
	}
	if err != nil {
		return nil, at, err
	}
	if err := mirror.Fetch(ctx, branchRef(f.Branch), at); err != nil {
		return nil, at, err
	}
	files, err := mirror.Tree(at)
	if err != nil {
		return nil, at, err
	}
	content, err = files.ReadFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, at, nil
	case err != nil:
		return nil, at, fmt.Errorf("reading %s of branch %s: %w", f.Path, f.Branch, err)
	}
	return content, at, nil
}

// WriteState writes the file on top of the commit that it was read from, zero if there
// was no branch, and returns the new commit. It fails with [git.ErrNonFastForward] if
// somebody else was faster. The mirror has to have some commit of the repository.
func (w *Writer) WriteState(ctx context.Context, f StateFile, at plumbing.Hash, content []byte, message string) (plumbing.Hash, error) {
	mirror, err := w.mirrors.Get(ctx, f.Remote)
	if err != nil {
		return at, err
	}
	author := f.Author
	author.When = w.clock.Now()
	info := git.CommitInfo{Author: author, Committer: author, Message: message, Signer: f.Signer}
	files := map[string][]byte{f.Path: content}
	var made plumbing.Hash
	if at.IsZero() {
		made, err = mirror.WriteFirst(ctx, files, info)
	} else {
		made, err = mirror.Write(ctx, at, files, info)
	}
	if err != nil {
		return at, fmt.Errorf("writing the state: %w", err)
	}
	if err := mirror.Push(ctx, nil, git.RefUpdate{Ref: f.Branch, Old: at, New: made}); err != nil {
		return at, fmt.Errorf("writing the state to branch %s: %w", f.Branch, err)
	}
	return made, nil
}

// Index is what the writer remembers of files, for those who read what it writes.
func (w *Writer) Index() *Index { return w.index }
