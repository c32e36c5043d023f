package writeback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
)

// Bounds of the race against other writers of the branch.
const (
	maxAttempts = 10
	maxPause    = 800 * time.Millisecond
)

// ErrUpdate means that the files could not be edited: Git is not to blame.
var ErrUpdate = errors.New("updating files")

// Request is one run: which images to write where.
type Request struct {
	Remote git.Remote
	// Checkout is the branch to start from and Push the branch to commit to. If
	// they differ and Push exists, it is extended; else it is made.
	Checkout, Push string
	// Path limits the run to a directory or a file; "" is everything.
	Path     string
	Policies Policies
	Author   git.Signature // its time is set by the writer
	// Message renders the commit message.
	Message func(Changed) (string, error)
}

// Result is what a run found and did.
type Result struct {
	// Source is the commit of the checkout branch that the run has seen; after a
	// push to that branch, the pushed commit.
	Source plumbing.Hash
	// Commit is what was pushed, zero if there was nothing to do.
	Commit  plumbing.Hash
	Message string
	Changed Changed
	Report  Report
	// Held is not nil when a policy was held back; the others were written.
	Held *HeldError
	// Conflicts counts the pushes that lost a race.
	Conflicts int
}

// Writer writes images to Git. One writer should serve a whole process.
type Writer struct {
	mirrors *git.Mirrors
	clock   clock.Clock
	index   *Index

	mu       sync.Mutex
	branches map[branch]chan struct{}
}

// branch is what one run at a time may write to.
type branch struct{ url, name string }

// NewWriter returns a writer that shares mirrors with the sources.
func NewWriter(mirrors *git.Mirrors, clk clock.Clock) *Writer {
	return &Writer{mirrors: mirrors, clock: clk, index: NewIndex(), branches: map[branch]chan struct{}{}}
}

// Run brings the push branch up to date with the images, in at most one commit.
// The result is meaningful with an error too: a lost race counts as a conflict.
func (w *Writer) Run(ctx context.Context, req Request) (Result, error) {
	release, err := w.acquire(ctx, branch{req.Remote.String(), req.Push})
	if err != nil {
		return Result{}, err
	}
	defer release()
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		return Result{}, fmt.Errorf("opening the mirror of %s: %w", req.Remote, err)
	}
	conflicts := 0
	for {
		result, err := w.attempt(ctx, mirror, req)
		result.Conflicts = conflicts
		if !errors.Is(err, git.ErrNonFastForward) {
			return result, err
		}
		conflicts++
		result.Conflicts = conflicts
		if conflicts == maxAttempts {
			return result, fmt.Errorf("giving up after %d attempts: %w", conflicts, err)
		}
		if err := w.pause(ctx, conflicts); err != nil {
			return result, err
		}
	}
}

// attempt is one pass from resolve to push.
func (w *Writer) attempt(ctx context.Context, mirror *git.Mirror, req Request) (Result, error) {
	at, err := resolve(ctx, mirror, req)
	if err != nil {
		return Result{}, err
	}
	files, err := mirror.Tree(at.base)
	if err != nil {
		return Result{}, fmt.Errorf("opening commit %s: %w", at.base, err)
	}
	marked, err := w.index.Marked(files, req.Path)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	p, err := newPlan(files, marked, req.Policies)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	result := Result{Source: at.source, Report: p.Report, Held: p.Held}
	if len(p.Contents) == 0 {
		return result, nil
	}
	return w.commit(ctx, mirror, req, step{heads: at, Planned: p, result: result})
}

// step is an attempt that has something to write.
type step struct {
	heads
	Planned
	result Result
}

func (w *Writer) commit(ctx context.Context, mirror *git.Mirror, req Request, s step) (Result, error) {
	message, err := req.Message(s.Changed)
	if err != nil {
		return s.result, err
	}
	author := req.Author
	author.When = w.clock.Now()
	commit, err := mirror.Write(ctx, s.base, s.Contents, git.CommitInfo{Author: author, Committer: author, Message: message})
	if err != nil {
		return s.result, fmt.Errorf("writing a commit on %s: %w", s.base, err)
	}
	if err := mirror.Push(ctx, nil, git.RefUpdate{Ref: refOf(req.Push), Old: s.old, New: commit}); err != nil {
		return s.result, fmt.Errorf("pushing %s to branch %s: %w", commit.String()[:7], req.Push, err)
	}
	s.result.Commit, s.result.Message, s.result.Changed = commit, message, s.Changed
	if req.Push == req.Checkout {
		s.result.Source = commit
	}
	return s.result, nil
}

// heads are the commits that an attempt starts from.
type heads struct {
	source plumbing.Hash // of the checkout branch
	base   plumbing.Hash // to commit on
	old    plumbing.Hash // of the push branch, zero when it is to be made
}

func resolve(ctx context.Context, mirror *git.Mirror, req Request) (heads, error) {
	source, err := mirror.Resolve(ctx, refOf(req.Checkout))
	if err != nil {
		return heads{}, fmt.Errorf("resolving branch %s: %w", req.Checkout, err)
	}
	at, from := heads{source: source, base: source, old: source}, req.Checkout
	if req.Push != req.Checkout {
		at.old, err = mirror.Resolve(ctx, refOf(req.Push))
		switch {
		case errors.Is(err, git.ErrRefNotFound):
			at.old = plumbing.ZeroHash
		case err != nil:
			return heads{}, fmt.Errorf("resolving branch %s: %w", req.Push, err)
		default:
			at.base, from = at.old, req.Push
		}
	}
	err = mirror.Fetch(ctx, refOf(from), at.base)
	if errors.Is(err, git.ErrRefNotFound) {
		err = git.ErrNonFastForward // it was there a moment ago
	}
	if err != nil {
		return heads{}, fmt.Errorf("fetching %s of branch %s: %w", at.base, from, err)
	}
	return at, nil
}

func refOf(name string) string { return plumbing.NewBranchReferenceName(name).String() }

// acquire waits for the turn to write to a branch.
func (w *Writer) acquire(ctx context.Context, b branch) (release func(), err error) {
	w.mu.Lock()
	turn, ok := w.branches[b]
	if !ok {
		turn = make(chan struct{}, 1)
		w.branches[b] = turn
	}
	w.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pause waits a random time that doubles on average with every lost race, so
// that writers that collided do not collide again.
func (w *Writer) pause(ctx context.Context, conflicts int) error {
	limit := min(maxPause, 25*time.Millisecond<<conflicts)
	select {
	case <-w.clock.After(rand.N(limit)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
