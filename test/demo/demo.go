// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// demo is everything that runs during the demo.
type demo struct {
	story story
	node  string
	keep  bool
	out   *printer
	// picture is drawn of the releases; nil is none.
	picture *picture

	passed bool // both releases ended as they should

	root, dir  string // of the checkout; of everything that the demo writes
	chain      deliveryChain
	controller harness.Running
	page       *harness.Process   // sluice ui, if somebody looks on
	stop       context.CancelFunc // of traffic and timeline
	traffic    chan error
	concluded  chan struct{} // has one when the end of a release was printed
}

// playground runs a command of the launcher. Its progress is shown.
func (s *demo) playground(ctx context.Context, args ...string) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "bin", "playground"), append(args, "--dir", filepath.Join(s.dir, ".playground"))...)
	cmd.Stdout, cmd.Stderr = s.out.progress(), io.MultiWriter(&stderr, s.out.progress())
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("playground %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// start starts the playground, the chain, its users and the controller, and waits
// until the first version serves.
func (s *demo) start(ctx context.Context) (err error) {
	if s.root, err = harness.Root(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return err
	}
	s.out.title(s.node)
	start := time.Now()
	if err := s.playground(ctx, "up", "--node", s.node); err != nil {
		return err
	}
	s.out.done("a playground is up", time.Since(start))
	p, err := connect(s.dir)
	if err != nil {
		return err
	}
	start = time.Now()
	if s.chain, err = s.story.setup(ctx, p, s.dir); err != nil {
		return err
	}
	s.out.done("CRDs are installed, the chain is applied", time.Since(start))
	if err := s.follow(ctx); err != nil {
		return err
	}
	start = time.Now()
	if s.controller, err = p.Start(ctx, s.dir, s.story.flags()...); err != nil {
		return err
	}
	s.out.done(started(s.node), time.Since(start))
	start = time.Now()
	if err := s.chain.Ready(ctx); err != nil {
		s.out.controllerLog(s.controller)
		return err
	}
	s.out.done("podinfo "+chain.First+" serves all users", time.Since(start))
	if !s.keep {
		return nil
	}
	address, err := s.servePage(ctx, p.Kubeconfig)
	if err == nil {
		s.out.hint([]string{"Watch it in a browser: " + address})
	}
	return err
}

// started says how the controller runs.
func started(node string) string {
	if node == "real" {
		return "sluice runs in the cluster, from its image"
	}
	return "sluice controller is running"
}

// connect finds the playground that the demo started, and no other.
func connect(dir string) (*harness.Playground, error) {
	if err := os.Unsetenv("SLUICE_REGISTRY"); err != nil { // it would name another
		return nil, err
	}
	found, err := env.Find(dir)
	if err != nil {
		return nil, err
	}
	scheme, err := kinds.Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(found.REST, client.Options{Scheme: scheme})
	return &harness.Playground{Playground: found, Client: c}, err
}

// follow starts users and timeline. They outlive ctx, so that -keep and Ctrl-C
// end them in order.
func (s *demo) follow(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.traffic, s.concluded = stop, make(chan error, 1), make(chan struct{}, 1)
	entries, err := s.chain.Follow(running)
	if err != nil {
		return err
	}
	go func() { s.traffic <- s.chain.Traffic(running) }()
	go func() {
		for entry := range entries {
			s.out.entry(entry)
			if s.story.last(entry) {
				select {
				case s.concluded <- struct{}{}:
				default:
				}
			}
		}
	}()
	return nil
}

// awaitConclusion waits until the end of the release has been printed: the timeline comes a little later.
func (s *demo) awaitConclusion(ctx context.Context) error {
	select {
	case <-s.concluded:
		return nil
	case err := <-s.traffic:
		s.traffic <- err
		return fmt.Errorf("traffic ended early: %w", err)
	case <-time.After(10 * time.Second):
		return errors.New("the verdict is in the status, but the timeline does not tell of it")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stopAll ends everything in the reverse order.
func (s *demo) stopAll() error {
	if s.page != nil {
		s.page.Stop()
	}
	if s.controller != nil {
		s.controller.Stop()
	}
	var failed []error
	if s.stop != nil {
		s.stop()
		if s.traffic != nil {
			failed = append(failed, <-s.traffic)
		}
	}
	s.story.stop()
	if s.dir != "" {
		// Not the caller's context: an interrupted demo must not leave a playground.
		failed = append(failed, s.playground(context.Background(), "down"), os.RemoveAll(s.dir))
	}
	return errors.Join(failed...)
}
