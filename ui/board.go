// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/report"
)

// settling is how long changes are collected before lanes are computed anew: a rollout changes many objects at once.
const settling = 150 * time.Millisecond

// maxTouched bounds the objects that a reader of the stream is still to be told of; with more of them the stream ends, and
// its client asks anew.
const maxTouched = 2000

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
	view  *view
	scope scope
	clock clock.WithTicker
	dirty chan struct{}
	stop  context.CancelFunc
	// owner is whose share it takes until it ends.
	owner     string
	computing *background.Slots[string]

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

// reader is one that reads a board.
type reader struct {
	*board
	leave func()

	mu      sync.Mutex
	sent    map[string]json.RawMessage
	touched map[report.ObjectReference]struct{}
	overrun bool // more than touched has
}

// join returns a reader of the board for what a view shows at the moment, which has to leave. A board that nobody reads
// costs nothing: it ends.
func (b *boards) join(ctx context.Context, v *view) (*reader, error) {
	of, err := v.scope(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.by[of.key()]
	if found == nil {
		owner := ownerOf(v.user)
		if len(b.by) >= maxBoards || !b.begun.TryAcquire(owner) {
			return nil, errTooManyBoards
		}
		found = &board{
			view: v.within(of), scope: of, owner: owner, computing: b.computing, clock: b.clock,
			dirty: make(chan struct{}, 1), update: make(chan struct{}), readers: map[*reader]struct{}{},
		}
		var running context.Context
		running, found.stop = context.WithCancel(context.WithoutCancel(ctx))
		b.by[of.key()] = found
		go found.run(running)
	}
	r := &reader{board: found, touched: map[report.ObjectReference]struct{}{}}
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
		b.begun.Release(r.board.owner)
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

func (r *reader) touch(object report.ObjectReference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.touched) < maxTouched {
		r.touched[object] = struct{}{}
	} else {
		r.overrun = true
	}
}

// run computes the lanes anew whenever something has changed.
func (b *board) run(ctx context.Context) {
	for {
		if b.computing.Acquire(ctx, b.owner) != nil {
			return
		}
		background.Run(ctx, func() { b.compute(ctx) }) // an object that nobody thought of leaves the lanes as they were
		b.computing.Release(b.owner)
		select {
		case <-ctx.Done():
			return
		case <-b.dirty:
		}
		select {
		case <-ctx.Done():
			return
		case <-b.clock.After(settling):
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

// news is what has changed since a reader was told last; nil if nothing has.
func (r *reader) news(lanes []encoded) *LaneChange {
	event := &LaneChange{Reset: r.sent == nil}
	now := make(map[string]json.RawMessage, len(lanes))
	for _, lane := range lanes {
		now[lane.key] = lane.json
		if !bytes.Equal(r.sent[lane.key], lane.json) {
			event.Set = append(event.Set, EncodedLane(lane.json))
		}
	}
	for key := range r.sent {
		if now[key] == nil {
			event.Gone = append(event.Gone, key)
		}
	}
	r.sent = now
	if !event.Reset && len(event.Set)+len(event.Gone) == 0 {
		return nil
	}
	return event
}

// errOverrun ends a stream that was not read for so long that nobody knows any more what has changed: its client asks
// anew for what it shows.
var errOverrun = errors.New("too much has changed")

// taken are the objects that have changed since a reader was told last.
func (r *reader) taken() ([]report.ObjectReference, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.overrun {
		return nil, errOverrun
	}
	var objects []report.ObjectReference
	for object := range r.touched {
		objects = append(objects, object)
	}
	clear(r.touched)
	return objects, nil
}

// heartbeat is how often a stream says that it is alive.
const heartbeat = 15 * time.Second

// writeTimeout is how long a reader may take for what it is sent.
const writeTimeout = 20 * time.Second

// stream sends events until the client goes. Whoever may see something else meanwhile is sent all of it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	_ = control.SetReadDeadline(time.Time{})
	beat := s.Clock.NewTicker(heartbeat)
	defer beat.Stop()
	user := viewOf(r).user
	if !s.streams.tryAcquire(user) {
		refuse(w, http.StatusTooManyRequests, tooMany(user, "you look at too many pages: close some"))
		return
	}
	defer s.streams.release(user)
	who, err := s.boards.join(r.Context(), viewOf(r))
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	defer func() { who.leave() }()
	told, beats := false, 0 // that the stream is alive: after the lanes, and then with every beat
	for {
		lanes, next := who.snapshot()
		_ = control.SetWriteDeadline(s.Clock.Now().Add(writeTimeout))
		if err := sendNews(w, who, lanes); err != nil {
			return
		}
		if !told && (lanes != nil || beats > 0) {
			if err := send(w, "alive", s.Cluster.freshness(s.Clock.Now())); err != nil {
				return
			}
			told = true
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-next:
		case <-beat.C():
			told, beats = false, beats+1
			if who, err = s.currentReader(r, who); err != nil && !errors.Is(err, errCrowded) { // it is asked again at the next beat
				return // the client asks again, and is told why
			}
		}
	}
}

// currentReader is the reader for what the user may see by now.
func (s *Server) currentReader(r *http.Request, who *reader) (*reader, error) {
	v, err := s.authenticator.authenticate(r) // a session may have ended
	if err != nil {
		return who, err
	}
	of, err := v.scope(r.Context())
	if err != nil || of.key() == who.scope.key() {
		return who, err
	}
	next, err := s.boards.join(r.Context(), v)
	if err != nil {
		return who, err
	}
	for _, kind := range next.scope.differences(who.scope) {
		next.touch(report.ObjectReference{Kind: kind}) // without a name: the session has other kinds, and lists have other objects
	}
	who.leave()
	return next, nil
}

// sendNews writes what is new to a reader.
func sendNews(w http.ResponseWriter, who *reader, lanes []encoded) error {
	if lanes == nil {
		return nil // nothing is known yet
	}
	if event := who.news(lanes); event != nil {
		if err := send(w, "lanes", event); err != nil {
			return err
		}
	}
	touched, err := who.taken()
	if err != nil {
		return err
	}
	for _, object := range touched {
		if err := send(w, "object", object); err != nil {
			return err
		}
	}
	return nil
}

func send(w http.ResponseWriter, event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text)
	return err
}
