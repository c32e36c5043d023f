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

// Bounds of the bodies of requests. Most are read before the sender is known, since what
// proves it is a signature of the body.
const (
	// maxBody is the longest body in bytes, as in Flux.
	maxBody = 3 << 20
	// maxEvent is the longest body of senders whose events are about one image.
	maxEvent = 256 << 10
	// maxTotalBodies is the memory of all bodies that are held at one time. The budget
	// limits a namespace to a part of it.
	maxTotalBodies = 64 << 20
	// firstChunk is the memory that a request holds before its body arrives, so that slow
	// senders hold little.
	firstChunk = 16 << 10
	// bodyTimeout is how long a request waits for memory for its body.
	bodyTimeout = 5 * time.Second
	// memoryPerParsedByte is the memory of parsed JSON for each of its bytes, in the worst
	// case: brackets only.
	memoryPerParsedByte = 32
)

// body is the body of a request and the grant for its memory.
type body struct {
	bytes []byte
	*budget.Grant
}

// errNoMemory means that other bodies hold all memory that is granted to bodies.
var errNoMemory = errors.New("too many bodies are being read")

// maxBodyBytes is the longest body of the type.
func (s sender) maxBodyBytes() int64 {
	if s.limit > 0 {
		return s.limit
	}
	return maxBody
}

// read reads the body of a request. If it cannot be read, the status is that of the
// answer. Memory is acquired as the body arrives.
func (h *Hooks) read(w http.ResponseWriter, r *http.Request, m message) (body, int, error) {
	limit := senders[m.receiver.Spec.Type].maxBodyBytes()
	if r.ContentLength > limit {
		return body{}, http.StatusRequestEntityTooLarge, errors.New("the body is too long")
	}
	ctx, cancel := context.WithTimeout(r.Context(), bodyTimeout)
	defer cancel()
	grant, err := h.bodies.Acquire(ctx, m.receiver.Namespace, firstChunk)
	if err != nil {
		return body{}, http.StatusServiceUnavailable, errNoMemory
	}
	read := body{make([]byte, 0, firstChunk), grant}
	from := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(read.bytes) == cap(read.bytes) {
			if grant.Grow(int64(cap(read.bytes))) != nil {
				grant.Release()
				return body{}, http.StatusServiceUnavailable, errNoMemory
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

// acquireParsing acquires the memory for the parsed body, which filters read.
func (h *Hooks) acquireParsing(ctx context.Context, m message, sent payload) (*budget.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	grant, err := h.Memory.Acquire(ctx, m.receiver.Namespace, memoryPerParsedByte*int64(max(len(m.body), len(sent.body))))
	switch {
	case errors.Is(err, budget.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, errNoMemory
	}
	return grant, nil
}
