// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"net/http"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// Bounds of what people keep a server at.
const (
	// maxStreams are open at one time for one user, maxAnonymousStreams for all who did not sign in, maxAllStreams for all.
	maxStreams, maxAnonymousStreams, maxAllStreams = 20, 500, 2000
	// maxRequests are answered at one time for one user, maxAnonymousRequests for all who did not sign in, maxAllRequests for
	// all; and maxPolicies explained for all: each goes through all tags of an image.
	maxRequests, maxAnonymousRequests, maxAllRequests = 8, 64, 256
	maxPolicies                                       = 4
	// maxAnonymousWork is what a pattern may take that somebody tries who did not sign in: two seconds at worst. For all of
	// them together tags are judged for one policy at one time.
	maxAnonymousWork, maxAnonymousJudged = 20 * pattern.Light, 1
	// maxSignIns are under way at one time for all who have yet to say who they are, and
	// maxQueue wait for that.
	maxSignIns = 16
	maxQueue   = 256
)

// errCrowded means that too many people sign in at the moment.
var errCrowded = errors.New("too many people sign in: try again in a moment")

// queue lets in a few at a time, and so many wait. It is safe for concurrent use. People who are signing in have
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

// userLimits is what each user may have under way at one time. People who did not sign in are one user to the API server, and many
// here: what they may have is more than that of one, and less than that of all, so that they never keep out who signs in.
type userLimits struct{ all, one *background.Slots[string] }

func newUserLimits(ofOne, ofAnonymous, ofAll int) userLimits {
	return userLimits{all: background.NewSlots[string](ofAll, ofAnonymous), one: background.NewSlots[string](0, ofOne)}
}

// tryAcquire takes a slot if one is free for a user, and does not wait.
func (s userLimits) tryAcquire(user string) bool {
	if !s.all.TryAcquire(user) {
		return false
	}
	if user == AnonymousUser || s.one.TryAcquire(user) {
		return true
	}
	s.all.Release(user)
	return false
}

// release gives a slot back.
func (s userLimits) release(user string) {
	if user != AnonymousUser {
		s.one.Release(user)
	}
	s.all.Release(user)
}

// limitPerUser answers so many requests of one user at one time.
func (s *Server) limitPerUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := viewOf(r).user
		if !s.requests.tryAcquire(user) {
			refuse(w, http.StatusTooManyRequests, tooMany(user, "too many of your requests are under way: try again in a moment"))
			return
		}
		defer s.requests.release(user)
		next.ServeHTTP(w, r)
	})
}

// tooMany says why a user gets no more: people who did not sign in have nothing of their own that they could close.
func tooMany(user, own string) string {
	if user == AnonymousUser {
		return "too many people who did not sign in look at this page: sign in, or try again in a moment"
	}
	return own
}

// limitOverall answers so many requests of all users at one time; others wait for a slot, which the user
// gets who has the fewest.
func limitOverall(slots *background.Slots[string], next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := viewOf(r).user
		if slots.Acquire(r.Context(), user) != nil {
			return // who asked is gone
		}
		defer slots.Release(user)
		next.ServeHTTP(w, r)
	})
}
