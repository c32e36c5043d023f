// SPDX-License-Identifier: Apache-2.0

// Command demo shows the main job of Sluice from push to verdict: it starts a
// playground, installs the API, runs the real `sluice controller` with manifests of
// config/samples, pushes a good release and then a bad one, and prints what happens to
// them as it happens. Its stories are
//
//	demo -story promotion     from staging to production; the bad one is taken back in Git (default)
//	demo -story pull-request  the same with production by pull request, which somebody merges
//	demo -story release       one environment: promoted to all users, or rolled back
//
// and its other flags
//
//	-node simulated    pods and their traffic are simulated (default)
//	-node real         pods and requests are real; Linux, root
//	-picture demo.svg  also draw what the releases print
//	-keep              leave everything running afterwards, until Ctrl-C; pull requests are
//	                   yours to merge
//
// Everything it prints was read from the Kubernetes API and from Git. It exits with
// status 0 only if the good release was promoted, the bad one rolled back, and all is
// as it has to be after that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	name := flag.String("story", "promotion", "promotion, pull-request or release")
	node := flag.String("node", "simulated", "simulated or real")
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	file := flag.String("picture", "", "SVG file to draw what the releases print to")
	flag.Parse()
	log.SetLogger(logr.Discard()) // what is worth printing is in the timeline
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	story, err := newStory(*name, settings{*node, *keep})
	if err != nil {
		fail(err)
	}
	s := &demo{story: story, node: *node, keep: *keep, out: newPrinter(os.Stdout)}
	s.out.byStage = story.hasPipeline()
	if *file != "" {
		s.picture = &picture{out: os.Stdout}
		s.out.out, s.out.style.colours = s.picture, true
	}
	err = s.run(ctx)
	if err == nil && s.picture != nil {
		err = s.picture.save(*file)
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
		if s.passed {
			return // Ctrl-C is how -keep ends
		}
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(1)
}

// run starts everything, runs the releases, and stops everything, whatever happens.
func (s *demo) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.stopAll()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	err = s.runReleases(ctx)
	s.passed = err == nil
	if err != nil && ctx.Err() == nil {
		s.out.controllerLog(s.controller)
	}
	if s.keep && ctx.Err() == nil {
		s.out.access(s)
		<-ctx.Done()
	}
	return err
}

// runReleases puts the releases of the story through the chain.
func (s *demo) runReleases(ctx context.Context) error {
	if s.picture != nil {
		s.picture.text.Reset() // how it was set up is not of interest
	}
	s.out.hint(s.story.hints())
	for _, r := range s.story.releases() {
		if err := s.release(ctx, r); err != nil {
			return err
		}
		if err := s.story.ended(ctx, r); err != nil {
			return err
		}
	}
	moral, err := s.story.conclusion(ctx)
	if err != nil {
		return err
	}
	s.out.summary(moral)
	if s.picture != nil {
		s.picture.done = true
	}
	return nil
}

// release pushes one release and follows it to its end.
func (s *demo) release(ctx context.Context, r release) error {
	select {
	case <-s.concluded: // about the version before
	default:
	}
	s.out.begin(r.Release, s.node)
	if err := s.chain.Release(ctx, r.Release); err != nil {
		return err
	}
	s.out.pushed(s.chain.Image() + ":" + r.Tag)
	got, err := s.chain.Verdict(ctx, r.Tag)
	if err != nil {
		return err
	}
	if err := s.awaitConclusion(ctx); err != nil {
		return err
	}
	s.out.end(r.Release, got)
	if got != r.want {
		return fmt.Errorf("%s was %s, not %s", r.Tag, got, r.want)
	}
	return nil
}
