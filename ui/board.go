// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/report"
)

// settling is how long changes are collected before lanes are computed anew: a rollout changes many objects at once.
const settling = 150 * time.Millisecond

// boards are those that somebody reads: users who may see the same share one.
type boards struct {
	clock clock.WithTicker

	// begun are the boards that those of a namespace have begun.
	begun *background.Slots[string]
	// computing are the boards whose lanes are computed at the moment: each reads all of what its readers may see.
	computing *background.Slots[string]

	mu sync.Mutex
	by map[string]*board // by the key of the scope
}

// maxBoards bounds the different rights that are looked at with at one time, and
// maxBoardsPerNamespace those of the ServiceAccounts of a namespace, or of one user.
const maxBoards, maxBoardsPerNamespace = 500, 50

// maxComputing bounds the boards whose lanes are computed at one time, and maxComputingPerNamespace those of the same share: nobody has all
// processors of the controller by changing objects that many boards are made of.
const maxComputing, maxComputingPerNamespace = 2, 1

func newBoards(clk clock.WithTicker) *boards {
	return &boards{clock: clk, begun: background.NewSlots[string](0, maxBoardsPerNamespace),
		computing: background.NewSlots[string](maxComputing, maxComputingPerNamespace), by: map[string]*board{}}
}

// ownerOf is whose share a user takes: that of the namespace of a ServiceAccount, of which
// anybody may make many there.
func ownerOf(user string) string {
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		return "namespace " + namespace
	}
	return "user " + user
}

// errTooManyBoards means that nobody else can look at the moment.
var errTooManyBoards = errors.New("too many people with different rights look at this page: try again later")

// changed is told of every change of an object.
func (b *boards) changed(object report.ObjectReference) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, of := range b.by {
		switch {
		case of.scope.allows(object.Kind, object.Namespace):
			of.changed(object)
		case object.Name == "": // a kind came into sight, and lanes say no more why it is not
			of.recompute()
		}
	}
}

// board holds the lanes as they are within a scope, and wakes who reads them.
type board struct {
	view   *view
	scope  scope
	dirty  chan struct{}
	stop   context.CancelFunc
	boards *boards
	// begunBy is whose share of the boards it takes until it ends.
	begunBy string

	mu      sync.Mutex
	lanes   []encoded     // nil before they are known
	update  chan struct{} // closed with the next change
	readers map[*reader]struct{}
}

// encoded is a lane as it is sent.
type encoded struct {
	key     string
	json    json.RawMessage
	objects []report.ObjectReference // that it is made of
}

// join returns a reader of the board for what a view shows at the moment, which has to leave. A board that nobody reads
// costs nothing: it ends.
func (b *boards) join(ctx context.Context, v *view) (*reader, error) {
	of, err := v.scope(ctx)
	if err != nil {
		return nil, err
	}
	owner := ownerOf(v.user)
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.by[of.key()]
	if found == nil {
		if len(b.by) >= maxBoards || !b.begun.TryAcquire(owner) {
			return nil, errTooManyBoards
		}
		found = &board{
			view: v.within(of), scope: of, boards: b, begunBy: owner,
			dirty: make(chan struct{}, 1), update: make(chan struct{}), readers: map[*reader]struct{}{},
		}
		var running context.Context
		running, found.stop = context.WithCancel(context.WithoutCancel(ctx))
		b.by[of.key()] = found
		go found.run(running)
	}
	r := &reader{board: found, owner: owner, touched: map[report.ObjectReference]struct{}{}}
	found.mu.Lock()
	found.readers[r] = struct{}{}
	found.mu.Unlock()
	r.leave = func() { b.removeReader(r) }
	return r, nil
}

func (b *boards) removeReader(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	delete(r.readers, r)
	if len(r.readers) == 0 {
		r.stop()
		b.begun.Release(r.begunBy)
		delete(b.by, r.scope.key())
	}
}

func (b *board) changed(object report.ObjectReference) {
	b.mu.Lock()
	for r := range b.readers {
		r.touch(object)
	}
	b.mu.Unlock()
	b.recompute()
}

// recompute has the lanes made anew.
func (b *board) recompute() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// computedFor is whose share of the computations a board takes: of those who read it at the moment, that of who reads the fewest boards.
// Who shares a board with somebody who reads many would wait behind all of these otherwise.
func (b *boards) computedFor(of *board) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	owners := of.owners()
	if len(owners) == 0 {
		return of.begunBy // nobody reads it any more
	}
	reads := map[string]int{}
	if len(owners) > 1 {
		for _, each := range b.by {
			for _, owner := range each.owners() {
				reads[owner]++
			}
		}
	}
	return slices.MinFunc(owners, func(x, y string) int { return cmp.Or(reads[x]-reads[y], strings.Compare(x, y)) })
}

// owners are those whose share its readers take, each once.
func (b *board) owners() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string]bool{}
	for r := range b.readers {
		found[r.owner] = true
	}
	return slices.Collect(maps.Keys(found))
}

// run computes the lanes anew whenever something has changed.
func (b *board) run(ctx context.Context) {
	for {
		owner := b.boards.computedFor(b)
		if b.boards.computing.Acquire(ctx, owner) != nil {
			return
		}
		background.Run(ctx, func() { b.compute(ctx) }) // an object that nobody thought of leaves the lanes as they were
		b.boards.computing.Release(owner)
		select {
		case <-ctx.Done():
			return
		case <-b.dirty:
		}
		select {
		case <-ctx.Done():
			return
		case <-b.boards.clock.After(settling):
		}
	}
}

func (b *board) compute(ctx context.Context) {
	objects, err := b.view.objects(ctx)
	if err != nil {
		return // ctx has ended: nothing else fails of a cache
	}
	lanes := report.Lanes(objects).Items
	next := make([]encoded, 0, len(lanes))
	for _, lane := range lanes {
		text, err := json.Marshal(lane)
		if err != nil {
			continue // a lane is made of strings and times
		}
		next = append(next, encoded{lane.Key, text, lane.Objects()})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lanes = next
	close(b.update)
	b.update = make(chan struct{})
}

// snapshot returns the lanes as they are, nil if they are not known yet, and what is closed when they change.
func (b *board) snapshot() ([]encoded, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lanes, b.update
}

// known waits for the lanes.
func (b *board) known(ctx context.Context) ([]encoded, error) {
	for {
		lanes, next := b.snapshot()
		if lanes != nil {
			return lanes, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-next:
		}
	}
}
