package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		s.Process, err = startFlagger(ctx, through, c.namespace, dir)
		return s, err
	}
	controller, err := through.StartController(ctx, dir, "--controllers=canary", "--watch-namespace", c.namespace)
	if controller != nil {
		s.Process = controller.Process
	}
	return s, err
}

// startFlagger starts the release of Flagger that we are compared with, with its
// defaults.
func startFlagger(ctx context.Context, p *harness.Playground, namespace, dir string) (*harness.Process, error) {
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "hack", "upstream.sh"), "flagger")
	build.Stderr = os.Stderr
	bin, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("building Flagger: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	flagger := harness.NewProcess(strings.TrimSpace(string(bin)), filepath.Join(dir, "flagger.log"),
		"-kubeconfig", p.Kubeconfig, "-namespace", namespace, "-metrics-server", p.Prometheus, "-port", port, "-log-level", "info")
	return flagger, flagger.Launch()
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
}

// perMinute is a number of requests as a rate.
func (u usage) perMinute(n int64) float64 { return float64(n) / u.took.Minutes() }
