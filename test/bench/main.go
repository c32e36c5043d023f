// Command bench measures the chain on a playground and writes what it measured
// to docs/benchmarks.md, beside Flux's figures for the same work.
//
//	release   an image is pushed -> its commit is on the Git server -> applied,
//	          on repositories of 1 and of 10,001 YAML files
//	fleet     200 Kustomizations of 4 objects on one GitRepository: until all
//	          are Ready, then a push that changes one file of one of them
//
// The registry push is announced with a reconcile request, as a webhook
// would: what is measured is the chain, not the interval of a poll.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fleet := flag.Int("fleet", 200, "Kustomizations in the fleet")
	files := flag.Int("files", 10001, "YAML files in the large repository")
	releases := flag.Int("releases", 5, "releases measured per repository")
	out := flag.String("out", filepath.Join("docs", "benchmarks.md"), "where the results go")
	flag.Parse()
	if err := run(ctx, sizes{fleet: *fleet, files: *files, releases: *releases}, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// sizes is how much work is measured.
type sizes struct{ fleet, files, releases int }

// results is everything that one run measured.
type results struct {
	small, large releaseResult
	fleet        fleetResult
}

func run(ctx context.Context, size sizes, out string) error {
	p, err := harness.FromEnv()
	if err != nil {
		return err
	}
	if err := p.Install(ctx); err != nil {
		return err
	}
	var r results
	for _, step := range []struct {
		name string
		do   func(dir string) error
	}{
		{"release-1", func(dir string) (err error) {
			r.small, err = measureReleases(ctx, p, releaseCase{dir: dir, name: "bench-small", files: 1, releases: size.releases})
			return err
		}},
		{"release-many", func(dir string) (err error) {
			r.large, err = measureReleases(ctx, p, releaseCase{dir: dir, name: "bench-large", files: size.files, releases: size.releases})
			return err
		}},
		{"fleet", func(dir string) (err error) {
			r.fleet, err = measureFleet(ctx, p, dir, size.fleet)
			return err
		}},
	} {
		fmt.Println("==>", step.name)
		if err := inTempDir(step.do); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return write(out, r, size, time.Now())
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
