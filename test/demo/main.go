// SPDX-License-Identifier: Apache-2.0

// Command demo shows the main job of Sluice from push to verdict: it starts a
// playground, installs the API, runs the real `sluice controller` with the
// manifests of config/samples/demo, pushes a good release and then a bad one,
// and tells what happens to them as it happens.
//
//	demo -node simulated    pods and their traffic are simulated (default)
//	demo -node real         pods and requests are real; Linux, root
//	demo -picture demo.svg  also draw what the releases print
//	demo -keep              leave everything running afterwards, until Ctrl-C
//
// Everything it prints was read from the Kubernetes API and from Git. It exits
// with status 0 only if the good release was promoted, and the bad one rolled
// back with the primary untouched.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/traffic"
)

// good and bad are the releases of the demo.
var (
	good = chain.Release{Tag: "1.1.0", Traits: traffic.Traits{Latency: 25 * time.Millisecond}}
	bad  = chain.Release{Tag: "1.2.0", Traits: traffic.Traits{Latency: 40 * time.Millisecond, ErrorRate: 0.3}}
)

func main() {
	node := flag.String("node", "simulated", "simulated or real")
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	file := flag.String("picture", "", "SVG file to draw what the releases print to")
	flag.Parse()
	log.SetLogger(logr.Discard()) // what is worth telling is in the timeline
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &stage{node: *node, keep: *keep, out: newPrinter(os.Stdout)}
	if *file != "" {
		s.picture = &picture{out: os.Stdout}
		s.out.out, s.out.style.colours = s.picture, true
	}
	err := s.run(ctx)
	if err == nil && s.picture != nil {
		err = s.picture.save(*file)
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
		if s.played {
			return // Ctrl-C is how -keep ends
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run sets the stage, plays, and clears it away, whatever happens.
func (s *stage) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.clear()) }()
	if err := s.set(ctx); err != nil {
		return err
	}
	err = s.play(ctx)
	s.played = err == nil
	if err != nil && ctx.Err() == nil {
		s.out.controllerLog(s.controller)
	}
	if s.keep && ctx.Err() == nil {
		s.out.lookAround(s)
		<-ctx.Done()
	}
	return err
}

// play puts both releases through the chain.
func (s *stage) play(ctx context.Context) error {
	if s.picture != nil {
		s.picture.text.Reset() // how it was set up is not of interest
	}
	if err := s.release(ctx, good, chain.Promoted); err != nil {
		return err
	}
	before, err := s.chain.Primary(ctx)
	if err != nil {
		return err
	}
	if err := s.release(ctx, bad, chain.RolledBack); err != nil {
		return err
	}
	after, err := s.chain.Primary(ctx)
	if err != nil {
		return err
	}
	if before.UID != after.UID || before.Generation != after.Generation {
		return fmt.Errorf("the primary was touched by the bad release: its generation went from %d to %d", before.Generation, after.Generation)
	}
	s.out.summary(after.Spec.Template.Spec.Containers[0].Image)
	if s.picture != nil {
		s.picture.done = true
	}
	return nil
}

// release pushes one release and follows it to its end.
func (s *stage) release(ctx context.Context, r chain.Release, want chain.Outcome) error {
	s.out.begin(r, s.node)
	if err := s.chain.Release(ctx, r); err != nil {
		return err
	}
	s.out.pushed(s.chain.Image() + ":" + r.Tag)
	got, err := s.chain.Verdict(ctx, r.Tag)
	if err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.out.end(r, got)
	if got != want {
		return fmt.Errorf("%s was %s, not %s", r.Tag, got, want)
	}
	return nil
}
