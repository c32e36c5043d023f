// SPDX-License-Identifier: Apache-2.0

// Command bench measures the chain on a playground and writes what it measured
// to docs/benchmarks.md, beside Flux and Flagger on the same control plane.
//
//	scan      300 repositories of 1,000 tags: first scan, and again unchanged,
//	          when the interval has passed and when somebody asks for it
//	policy    one choice from 100,000 tags
//	release   an image is pushed -> its commit is on the Git server -> applied,
//	          on repositories of 1 and of 10,001 YAML files, and with 100 of
//	          10,001 files to change; and once more told by a webhook
//	fleet     200 and 1,000 Kustomizations of 4 objects on one GitRepository, a chain of
//	          10 that depend on one another, and one beside 10,000 files: until all are
//	          Ready, a push, a reconcile that finds nothing new, and a repair; by us and
//	          by Flux's own source-controller and kustomize-controller
//	oci       100 OCIRepositories while nothing is pushed, by both
//	harm      bad releases with users on them: what they got until it was undone,
//	          beside what Flagger's rules would have let through
//	canary    100 Canaries at rest, then all releasing at once, by us and by
//	          Flagger's own binary on the same control plane; 1,000 at rest
//	judge     1,000 canaries that are looked at every 5 s: by the counters of both arms,
//	          and by the numbers that thresholds are about
//	pipelines 500 Pipelines of three stages on one repository: at rest, one that
//	          gets a bundle, and all at once; beside one that is alone
//
// The registry push is announced with a reconcile request, or by a webhook to a
// Receiver: what is measured is the chain, not the interval of a poll.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fleet := flag.Int("fleet", 200, "Kustomizations in the fleet")
	largeFleet := flag.Int("large-fleet", 1000, "Kustomizations in the large fleet")
	chain := flag.Int("chain", 10, "Kustomizations that depend on one another")
	artifacts := flag.Int("artifacts", 100, "OCIRepositories")
	files := flag.Int("files", 10001, "YAML files in the large repository")
	marked := flag.Int("marked", 100, "files to change in the large repository")
	releases := flag.Int("releases", 5, "releases measured per repository")
	repositories := flag.Int("repositories", 300, "image repositories to scan")
	tags := flag.Int("tags", 1000, "tags of each of them; one page at most")
	resting := flag.Int("resting", 1000, "canaries at rest")
	canaries := flag.Int("canaries", 100, "canaries that release at once")
	pipelines := flag.Int("pipelines", 500, "pipelines on one repository")
	out := flag.String("out", filepath.Join("docs", "benchmarks.md"), "where the results go")
	only := flag.String("only", "", "run only the steps whose names start so, such as scan, and write nothing")
	flag.Parse()
	if err := run(ctx, sizes{
		fleet: *fleet, files: *files, marked: *marked, releases: *releases, repositories: *repositories, tags: *tags,
		resting: *resting, canaries: *canaries, pipelines: *pipelines, largeFleet: *largeFleet, chain: *chain, artifacts: *artifacts,
	}, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// sizes is how much work is measured.
type sizes struct {
	fleet, largeFleet, chain, artifacts, files, marked, releases, repositories, tags, resting, canaries, pipelines int
}

// results is everything that one run measured.
type results struct {
	small, hooked, large, wide releaseResult
	scan                       scanResult
	policy                     policyResult
	// What fetches and applies, ours and Flux's.
	fleets []pair[fleetResult]
	oci    pair[ociResult]
	harm   []harmResult
	// Canaries: as many of ours as of Flagger's, and many of ours at rest.
	ours, theirs, resting canaryResult
	// Looks at canaries: by counters, and by thresholds.
	judged, sampled lookResult
	// Pipelines: one that is alone, and many.
	lone, many pipelineResult
}

func run(ctx context.Context, size sizes, out, only string) error {
	ctrllog.SetLogger(logr.Discard()) // what is worth telling is in the log of the controller
	p, err := harness.FromEnv()
	if err != nil {
		return err
	}
	if err := p.Install(ctx); err != nil {
		return err
	}
	var r results
	for _, step := range slices.Concat(
		chainSteps(ctx, p, size, &r), gitopsSteps(ctx, p, size, &r), crowdSteps(ctx, p, size, &r), pipelineSteps(ctx, p, size, &r),
	) {
		if !strings.HasPrefix(step.name, only) {
			continue
		}
		fmt.Println("==>", step.name)
		if err := inTempDir(step.do); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if only != "" {
		return show(r)
	}
	return write(out, r, size, time.Now())
}

// step is one measurement, in a folder of its own.
type step struct {
	name string
	do   func(dir string) error
}

// chainSteps measure the way of an image from the registry to the cluster.
func chainSteps(ctx context.Context, p *harness.Playground, size sizes, r *results) []step {
	return []step{
		// Scans come first: what making a file costs depends on how many others were
		// just deleted.
		{"scan", func(dir string) (err error) {
			r.scan, err = measureScans(ctx, p, dir, size)
			return err
		}},
		{"policy", func(string) (err error) {
			r.policy, err = measurePolicy()
			return err
		}},
		{"release-1", func(dir string) (err error) {
			r.small, err = measureReleases(ctx, p, releaseCase{dir: dir, name: "bench-small", files: 1, marked: 1, releases: size.releases})
			return err
		}},
		{"release-webhook", func(dir string) (err error) {
			r.hooked, err = measureReleases(ctx, p,
				releaseCase{dir: dir, name: "bench-hook", files: 1, marked: 1, releases: size.releases, webhook: true})
			return err
		}},
		{"release-many", func(dir string) (err error) {
			r.large, err = measureReleases(ctx, p, releaseCase{dir: dir, name: "bench-large", files: size.files, marked: 1, releases: size.releases})
			return err
		}},
		{"release-wide", func(dir string) (err error) {
			r.wide, err = measureReleases(ctx, p,
				releaseCase{dir: dir, name: "bench-wide", files: size.files, marked: size.marked, releases: size.releases})
			return err
		}},
		{"harm", func(dir string) (err error) {
			r.harm, err = measureHarm(ctx, p, dir)
			return err
		}},
	}
}

// inTempDir gives a step a folder that goes away with it.
func inTempDir(do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return do(dir)
}
