// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/internal/background"
)

// A cache keeps its objects while the API server is out of reach, or while a kind can neither be listed nor watched: what is shown then
// is older than it looks.

// watchFailure is since when a kind fails, when it did last, and why.
type watchFailure struct {
	began, at time.Time
	last      error
}

const (
	// maxSilence is how long nothing is made of an API server that does not answer: two answers that did not come.
	maxSilence = 2*heartbeat + pingTimeout
	// pingTimeout is how long an answer may take.
	pingTimeout = 5 * time.Second
	// failsFor is how long a kind has to fail until its objects count as old. A watch that has expired fails once.
	failsFor = 30 * time.Second
	// failsAgain is within what time a kind that fails does so again: client-go waits for up to a minute between two attempts.
	failsAgain = 2 * time.Minute
)

// watchFailed notes that a kind could not be listed or watched.
func (c *Cluster) watchFailed(ctx context.Context, r *toolscache.Reflector, err error) {
	toolscache.DefaultWatchErrorHandler(ctx, r, err)
	_, kind, _ := strings.Cut(r.TypeDescription(), ".") // as *v1.GitRepository
	c.mu.Lock()
	defer c.mu.Unlock()
	now, is := c.clock.Now(), c.failing[kind]
	if now.Sub(is.at) > failsAgain {
		is.began = now
	}
	is.at, is.last = now, err
	c.failing[kind] = is
}

// heard notes that a kind is listed or watched: something came of it.
func (c *Cluster) heard(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failing, kind)
}

// whyNotListed says it to the owner of the kubeconfig. Others may not know the objects that an error names.
func (c *Cluster) whyNotListed(kind served, err error) string {
	if c.User == "" {
		return fmt.Sprintf("the controller cannot list %s, and its log says why", kind.resource.GroupResource())
	}
	return fmt.Sprintf("%s cannot be listed: %v", kind.resource.GroupResource(), err)
}

// stayInTouch asks the API server again and again whether it is there.
func (s *Server) stayInTouch(ctx context.Context) {
	beat := s.Clock.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		background.Run(ctx, func() { s.Cluster.reach(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-beat.C():
		}
	}
}

// reach notes that the API server answers, whatever it says about the request.
func (c *Cluster) reach(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := c.ping(asking)
	var answered apierrors.APIStatus
	if err != nil && (!errors.As(err, &answered) || answered.Status().Code >= http.StatusInternalServerError) {
		return
	}
	c.answered()
}

// answered notes that the API server did so just now.
func (c *Cluster) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reached = c.clock.Now()
}

// freshness says since when what is shown may be older than what the cluster has, if it may be.
func (c *Cluster) freshness(now time.Time) Alive {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.reached) > maxSilence {
		since := c.reached
		return Alive{StaleSince: &since, Why: "the API server does not answer"}
	}
	for _, kind := range slices.Sorted(maps.Keys(c.failing)) {
		of, shown := c.kinds[kind]
		if is := c.failing[kind]; shown && is.at.Sub(is.began) >= failsFor && now.Sub(is.at) < failsAgain {
			return Alive{StaleSince: &is.began, Why: c.whyNotListed(of, is.last)}
		}
	}
	return Alive{}
}
