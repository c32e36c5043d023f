// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"

	"github.com/sluice-cd/sluice/report"
)

// maxTouched bounds the objects that a reader of the stream is still to be told of; with more of them the stream ends, and
// its client asks anew.
const maxTouched = 2000

// reader is one that reads a board.
type reader struct {
	*board
	// owner is whose share it takes.
	owner string
	leave func()

	mu      sync.Mutex
	sent    map[string]json.RawMessage
	touched map[report.ObjectReference]struct{}
	overrun bool // more than touched has
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
