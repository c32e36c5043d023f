// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sluice-cd/sluice/internal/budget"
)

// Bounds of the bodies of requests. Most are read before anybody knows who sent
// them, since the proof is a signature of the body.
const (
	// maxBody is the longest body in bytes, as in Flux.
	maxBody = 3 << 20
	// maxEvent is the longest of senders that tell of one thing.
	maxEvent = 256 << 10
	// allBodies is what bodies that are being worked on may hold together, and the
	// budget gives one namespace a part of it.
	allBodies = 64 << 20
	// firstChunk is what a request holds before anything of its body has come: who is
	// slow to send holds little.
	firstChunk = 16 << 10
	// bodyPatience is how long a request waits for room to read its body.
	bodyPatience = 5 * time.Second
	// perParsedByte is how much a body becomes in memory that filters ask about, byte
	// by byte: JSON of nothing but brackets is the worst.
	perParsedByte = 32
)

// body is what a request says, and the memory that it holds.
type body struct {
	bytes []byte
	*budget.Grant
}

// errNoRoom means that too much is being read at the moment.
var errNoRoom = errors.New("too many bodies are being read")

// longest is how long the body of a request to the receiver may be.
func (s sender) longest() int64 {
	if s.limit > 0 {
		return s.limit
	}
	return maxBody
}

// read reads the body of a request. The status is that of the answer to one that
// cannot be read. A body holds what has come of it, and no more.
func (h *Hooks) read(w http.ResponseWriter, r *http.Request, m message) (body, int, error) {
	limit := senders[m.receiver.Spec.Type].longest()
	if r.ContentLength > limit {
		return body{}, http.StatusRequestEntityTooLarge, errors.New("the body is too long")
	}
	ctx, cancel := context.WithTimeout(r.Context(), bodyPatience)
	defer cancel()
	grant, err := h.bodies.Acquire(ctx, m.receiver.Namespace, firstChunk)
	if err != nil {
		return body{}, http.StatusServiceUnavailable, errNoRoom
	}
	read := body{make([]byte, 0, firstChunk), grant}
	from := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(read.bytes) == cap(read.bytes) {
			if grant.Grow(int64(cap(read.bytes))) != nil {
				grant.Release()
				return body{}, http.StatusServiceUnavailable, errNoRoom
			}
			grown := make([]byte, len(read.bytes), 2*cap(read.bytes))
			copy(grown, read.bytes)
			read.bytes = grown
		}
		n, err := from.Read(read.bytes[len(read.bytes):cap(read.bytes)])
		read.bytes = read.bytes[:len(read.bytes)+n]
		var tooLong *http.MaxBytesError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return read, http.StatusOK, nil
		case errors.As(err, &tooLong):
			grant.Release()
			return body{}, http.StatusRequestEntityTooLarge, errors.New("the body is too long")
		default:
			grant.Release()
			return body{}, http.StatusBadRequest, errors.New("the body was cut off")
		}
	}
}

// parsing acquires the memory for a body that filters ask about.
func (h *Hooks) parsing(ctx context.Context, m message, sent notice) (*budget.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyPatience)
	defer cancel()
	grant, err := h.Memory.Acquire(ctx, m.receiver.Namespace, perParsedByte*int64(max(len(m.body), len(sent.body))))
	switch {
	case errors.Is(err, budget.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, errNoRoom
	}
	return grant, nil
}
