// SPDX-License-Identifier: Apache-2.0

// Command mutate measures what the tests of a package would notice. It makes small
// faults in the package (mutants), one at a time, and runs the package's own tests:
// a mutant that makes a test fail is killed, one that no test minds has survived, and
// one that no test reaches is not covered. The score is killed / all.
//
//	go run ./hack/mutate ./policy
//	go run ./hack/mutate -sample 100 -seed 2 ./controllers/...
//
// The faults: a condition negated, && and || exchanged, the boundary of a comparison
// moved, + and - (and * and /) exchanged, a statement left out, a function that
// returns at once, the zero value returned. Logging, locks, Close and cancel functions
// are left alone, since tests of behaviour cannot see them.
//
// It is our own because the testers that are maintained (go-gremlins, go-mutesting)
// compile and link a test binary for each mutant: 2.3 seconds on the smallest package
// here and three to ten on a reconciler, which is hours for these packages; and
// gremlins knows neither removed statements nor returned zero values. Here a package is
// compiled once, with all its mutants in it, behind a switch that the environment sets
// ("mutant schemata", Untch, Offutt and Harrold 1993), so that a mutant costs a run:
//
//	if a < b && ok        ->  if and(3, not(1, less(2, a, b)), func() bool { return not(4, ok) })
//	x = f()               ->  if !is(5) { x = f() }
//	return err            ->  return zero[error](6, err)
//
// The changed files are given to the compiler as an overlay, and have the lines of the
// original. Each test is run by itself first, which says what mutants it reaches and how
// long it takes; a mutant is then tried with the tests that reach it, fastest first,
// and never with the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	dir      string        // of the module
	packages []string      // patterns of go list
	sample   int           // mutants to try for each package; 0 means all
	seed     int64         // of the sample
	parallel int           // test processes at a time
	patience time.Duration // of a test process, beside ten times what it takes without a mutant
	progress io.Writer
}

func main() {
	o := options{progress: os.Stderr}
	flag.StringVar(&o.dir, "C", ".", "folder of the module")
	flag.IntVar(&o.sample, "sample", 0, "try so many mutants of each package, chosen by -seed (0 means all)")
	flag.Int64Var(&o.seed, "seed", 1, "of the sample")
	flag.IntVar(&o.parallel, "parallel", 2, "test processes at a time")
	flag.DurationVar(&o.patience, "patience", 10*time.Second, "give a test process so long, and ten times what it takes without a mutant")
	asJSON := flag.Bool("json", false, "print all mutants as JSON")
	doc := flag.String("doc", "", "write the table into this page, between its markers")
	flag.Parse()
	o.packages = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, *asJSON, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, asJSON bool, doc string) error {
	if len(o.packages) == 0 {
		return errors.New("name the packages to mutate, as for go test")
	}
	results, err := measure(ctx, o)
	if err != nil {
		return err
	}
	if doc != "" {
		if err := writeDoc(doc, results); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(os.Stdout, results)
	}
	printSurvivors(os.Stdout, results)
	printTable(os.Stdout, results)
	return nil
}

// measure mutates one package after the other.
func measure(ctx context.Context, o options) ([]result, error) {
	work, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	packages, err := load(ctx, o.dir, o.packages)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, p := range packages {
		r, err := measurePackage(ctx, o, work, p)
		if err != nil {
			return nil, fmt.Errorf("mutating %s: %w", p.path, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func measurePackage(ctx context.Context, o options, work string, p *pkg) (result, error) {
	p.mutate()
	if len(p.mutants) == 0 {
		return result{Package: p.path}, nil
	}
	fmt.Fprintf(o.progress, "%s: compiling %d mutants\n", p.path, len(p.mutants))
	dir, err := os.MkdirTemp(work, p.name+"-")
	if err != nil {
		return result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, err := compile(ctx, p, dir)
	if err != nil || binary == "" {
		return result{Package: p.path, Mutants: p.mutants}, err
	}
	r := &runner{options: o, pkg: p, binary: binary, dir: dir}
	if err := r.trace(ctx); err != nil {
		return result{}, err
	}
	tried := sample(p.mutants, o.sample, o.seed)
	if err := r.try(ctx, tried); err != nil {
		return result{}, err
	}
	return result{Package: p.path, Mutants: tried}, nil
}
