package writeback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/git"
)

// Bounds of the race against other writers of the branch.
const (
	maxAttempts = 10
	maxPause    = 800 * time.Millisecond
)

// Writer writes images to Git. One writer should serve a whole process.
type Writer struct {
	mirrors *git.Mirrors
	clock   clock.Clock
	index   *Index
	views   *views
	heads   *heads

	mu       sync.Mutex
	branches map[branch]*branchTurn
}

// branchTurn lets one run after the other write to a branch.
type branchTurn struct {
	users int           // runs that write or wait; under the writer's lock
	free  chan struct{} // has room for one
}

// branch is what one run at a time may write to.
type branch struct{ url, name string }

// NewWriter returns a writer that shares mirrors with the sources.
func NewWriter(mirrors *git.Mirrors, clk clock.Clock) *Writer {
	return &Writer{
		mirrors: mirrors, clock: clk, index: NewIndex(nil), branches: map[branch]*branchTurn{},
		views: &views{clock: clk, byRemote: map[string]*view{}}, heads: newHeads(),
	}
}

// WithMemory makes the writer take what parsing files needs out of a budget. It is
// called before the first run.
func (w *Writer) WithMemory(memory *budget.Budget) *Writer {
	w.index.memory = memory
	return w
}

// Run brings the push branch up to date with the images, in at most one push.
// The result is meaningful with an error too: a lost race counts as a conflict.
func (w *Writer) Run(ctx context.Context, req Request) (result Result, err error) {
	visit, leave := w.views.enter(req.Remote)
	defer leave()
	release, err := w.acquire(ctx, branch{req.Remote.String(), req.Push})
	if err != nil {
		return Result{}, err
	}
	defer release()
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		return Result{}, fmt.Errorf("opening the mirror of %s: %w", req.Remote, err)
	}
	defer func() { w.heads.note(req, result, err) }()
	first := &guess{survey: &survey{Writer: w, mirror: mirror, req: req}}
	if result, known, err := first.try(ctx, visit); known {
		return result, err
	}
	conflicts := 0
	for {
		result, err := w.attempt(ctx, mirror, req, visit, first)
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
		visit.doubt()
	}
}

// Preview is Run without writing: the report says what would be done. It waits
// for no other run.
func (w *Writer) Preview(ctx context.Context, req Request) (Result, error) {
	visit, leave := w.views.enter(req.Remote)
	defer leave()
	mirror, err := w.mirrors.Get(ctx, req.Remote)
	if err != nil {
		return Result{}, fmt.Errorf("opening the mirror of %s: %w", req.Remote, err)
	}
	s := &survey{Writer: w, mirror: mirror, req: req}
	if err = s.look(ctx, visit); err == nil {
		err = s.run(ctx)
	}
	s.result.Changed = s.planned.Changed
	return s.result, err
}

// attempt is one pass from the look at the remote to the push.
func (w *Writer) attempt(ctx context.Context, mirror *git.Mirror, req Request, visit *visit, first *guess) (Result, error) {
	s := &survey{Writer: w, mirror: mirror, req: req}
	err := s.look(ctx, visit)
	if err == nil && first.holds(s.refs) {
		return first.result, nil
	}
	if err == nil {
		err = s.run(ctx)
	}
	if err == nil && s.withdraws {
		err = s.pushBack(ctx, visit)
	}
	if err != nil || len(s.planned.Contents) == 0 {
		return s.result, err
	}
	return s.publish(ctx, visit)
}

// acquire waits for the turn to write to a branch.
func (w *Writer) acquire(ctx context.Context, b branch) (release func(), err error) {
	w.mu.Lock()
	turn := w.branches[b]
	if turn == nil {
		turn = &branchTurn{free: make(chan struct{}, 1)}
		w.branches[b] = turn
	}
	turn.users++
	w.mu.Unlock()
	leave := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if turn.users--; turn.users == 0 {
			delete(w.branches, b)
		}
	}
	select {
	case turn.free <- struct{}{}:
		return func() { <-turn.free; leave() }, nil
	case <-ctx.Done():
		leave()
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
