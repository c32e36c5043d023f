// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"net/http"
	"sync"
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

// queue lets in a few at a time, and so many wait. It is safe for concurrent use.
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

// shares count what users have under way. They are safe for concurrent use.
type shares struct {
	most int

	mu sync.Mutex
	of map[string]int // by user; without those that have nothing under way
}

func newShares(most int) *shares { return &shares{most: most, of: map[string]int{}} }

// enter takes one of a user's share, unless all are taken.
func (s *shares) enter(user string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[user] >= s.most {
		return nil, false
	}
	s.of[user]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.of[user]--; s.of[user] == 0 {
			delete(s.of, user)
		}
	}, true
}

// shared answers so many requests of one user at one time.
func (s *Server) shared(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := s.requests.enter(viewOf(r).user)
		if !ok {
			refuse(w, http.StatusTooManyRequests, "too many of your requests are under way: try again in a moment")
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}

// oneOf answers so many requests of all users at one time; others wait their turn.
func oneOf(slots chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
