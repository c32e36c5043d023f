// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"net/http"

	"github.com/sluice-cd/sluice/internal/background"
)

// Bounds of what people keep a server at.
const (
	// maxStreams are open at one time for one user.
	maxStreams = 20
	// maxRequests are answered at one time for one user, and maxPolicies explained for all: each goes through all tags
	// of an image.
	maxRequests = 8
	maxPolicies = 4
	// maxSignIns are under way at one time for all who have yet to say who they are, and
	// maxQueue wait for that.
	maxSignIns = 16
	maxQueue   = 256
)

// errCrowded means that too many people sign in at the moment.
var errCrowded = errors.New("too many people sign in: try again in a moment")

// queue lets in a few at a time, and so many wait. It is safe for concurrent use. Strangers have
// no name by which they could share, as the keys of [background.Slots] do.
type queue struct{ places, slots chan struct{} }

func newQueue(slots, waiting int) queue {
	return queue{make(chan struct{}, slots+waiting), make(chan struct{}, slots)}
}

// enter waits for a turn, for no longer than ctx.
func (q queue) enter(ctx context.Context) (leave func(), err error) {
	select {
	case q.places <- struct{}{}:
	default:
		return nil, errCrowded
	}
	select {
	case q.slots <- struct{}{}:
		return func() { <-q.slots; <-q.places }, nil
	case <-ctx.Done():
		<-q.places
		return nil, errCrowded
	}
}

// shared answers so many requests of one user at one time.
func (s *Server) shared(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := viewOf(r).user
		if !s.requests.TryAcquire(user) {
			refuse(w, http.StatusTooManyRequests, "too many of your requests are under way: try again in a moment")
			return
		}
		defer s.requests.Release(user)
		next.ServeHTTP(w, r)
	})
}

// oneOf answers so many requests of all users at one time; others wait for a slot, which the user
// gets who has the fewest.
func oneOf(slots *background.Slots[string], next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := viewOf(r).user
		if slots.Acquire(r.Context(), user) != nil {
			return // who asked is gone
		}
		defer slots.Release(user)
		next.ServeHTTP(w, r)
	})
}
