// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

// subject is a controller of canaries under measurement: ours, or Flagger.
type subject struct {
	*harness.Process
	count *counter
}

// startSubject starts a controller that serves one namespace.
func startSubject(ctx context.Context, p *harness.Playground, c canaryCase, dir string) (*subject, error) {
	count, through, err := countRequests(ctx, p, dir)
	if err != nil {
		return nil, err
	}
	s := &subject{count: count}
	if c.flagger {
		flagger, err := through.StartFlagger(ctx, c.namespace, dir)
		if flagger != nil {
			s.Process = flagger.Process
		}
		return s, err
	}
	controller, err := through.StartController(ctx, dir, "--controllers=canary", "--watch-namespace", c.namespace)
	if controller != nil {
		s.Process = controller.Process
	}
	return s, err
}

// reading is what a subject has used up to a moment.
type reading struct {
	at                        time.Time
	requests, writes, watches int64
	cpu                       time.Duration
}

func (s *subject) read() (reading, error) {
	cpu, err := s.CPU()
	return reading{
		at: time.Now(), cpu: cpu,
		requests: s.count.requests.Load(), writes: s.count.writes.Load(), watches: s.count.watches.Load(),
	}, err
}

// since is what was used between two readings.
func (r reading) since(before reading) usage {
	return usage{
		took: r.at.Sub(before.at), cpu: r.cpu - before.cpu,
		requests: r.requests - before.requests, writes: r.writes - before.writes, watches: r.watches - before.watches,
	}
}

// usage is what a subject has used in some time.
type usage struct {
	took, cpu                 time.Duration
	requests, writes, watches int64
	// some is how many of many objects were done when they were waited for no longer; zero if all were in time.
	some int
}

// perMinute is a number of requests as a rate.
func (u usage) perMinute(n int64) float64 { return float64(n) / u.took.Minutes() }
