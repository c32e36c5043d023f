// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

// pair is the same work, done by Sluice and by Flux in the same run.
type pair[R any] struct {
	ours, flux R
}

// fleets are the fleets that are measured.
func fleets(size sizes) []fleetCase {
	return []fleetCase{
		{engineCase: engineCase{namespace: "bench-fleet"}, size: size.fleet},
		{engineCase: engineCase{namespace: "bench-large-fleet"}, size: size.largeFleet},
		{engineCase: engineCase{namespace: "bench-chain"}, size: size.chain, chain: true},
		{engineCase: engineCase{namespace: "bench-files"}, size: 1, ballast: size.files},
	}
}

// gitopsSteps measure fetching and applying, by us and by Flux's own controllers.
func gitopsSteps(ctx context.Context, p *harness.Playground, size sizes, r *results) []step {
	cases := fleets(size)
	r.fleets = make([]pair[fleetResult], len(cases))
	var steps []step
	for i, c := range cases {
		theirs := c
		theirs.engineCase = c.ofFlux()
		name := "fleet-" + strings.TrimPrefix(c.namespace, "bench-")
		steps = append(steps,
			step{name, func(dir string) (err error) {
				r.fleets[i].ours, err = measureFleet(ctx, p, c, dir)
				return err
			}},
			step{name + "-flux", func(dir string) (err error) {
				r.fleets[i].flux, err = measureFleet(ctx, p, theirs, dir)
				return err
			}})
	}
	oci := ociCase{engineCase: engineCase{namespace: "bench-oci"}, size: size.artifacts}
	return append(steps,
		step{"oci", func(dir string) (err error) {
			r.oci.ours, err = measureOCI(ctx, p, oci, dir)
			return err
		}},
		step{"oci-flux", func(dir string) (err error) {
			r.oci.flux, err = measureOCI(ctx, p, ociCase{engineCase: oci.ofFlux(), size: oci.size}, dir)
			return err
		}})
}

// gitopsReport is the part of the page about fetching and applying.
func gitopsReport(b *strings.Builder, r results) {
	fmt.Fprintf(b, `
## Fetching and applying

Flux's source-controller 1.9.3 and kustomize-controller 1.9.6 ran unmodified in the same run, on the same control plane, with the
same objects, repositories and numbers of workers (10 for sources, 20 for Kustomizations); else with their defaults. Intervals are
an hour, and a push is announced with a reconcile request of the GitRepository. CPU and memory are those of both of their
processes, and of our one, which serves all kinds. Requests are those that reach the API server, without the opening of watches.

| What | Sluice | Flux | ratio |
|---|---|---|---|
`)
	t := table{b}
	for _, f := range r.fleets {
		if f.ours.size > 0 && f.flux.size > 0 {
			t.fleet(f)
		}
	}
	if r.oci.ours.size > 0 && r.oci.flux.size > 0 {
		t.oci(r.oci)
	}
}

// table writes rows of what took whom how much.
type table struct{ b *strings.Builder }

func (t table) row(what, format string, ours, theirs float64) {
	fmt.Fprintf(t.b, "| %s | "+format+" | "+format+" | %.3f |\n", what, ours, theirs, ours/theirs)
}

func (t table) time(what string, ours, theirs time.Duration) {
	t.row(what, "%.2f s", ours.Seconds(), theirs.Seconds())
}

// usage are the time and the CPU of a step. Flux may have been late with it, or with a step before.
func (t table) usage(what string, ours, theirs usage) {
	switch {
	case theirs.took == 0:
		fmt.Fprintf(t.b, "| %s | %.2f s | not measured | |\n| %[1]s, CPU | %.2f s | not measured | |\n",
			what, ours.took.Seconds(), ours.cpu.Seconds())
	case theirs.some > 0:
		fmt.Fprintf(t.b, "| %s | %.2f s | after %.0f s %d of them | |\n| %[1]s, CPU | %.2f s | until then %.2f s | |\n",
			what, ours.took.Seconds(), theirs.took.Seconds(), theirs.some, ours.cpu.Seconds(), theirs.cpu.Seconds())
	default:
		t.time(what, ours.took, theirs.took)
		t.time(what+", CPU", ours.cpu, theirs.cpu)
	}
}

func (t table) memory(what string, ours, theirs harness.Memory) {
	t.row(what+": resident memory", "%.0f MiB", mebibytes(ours.Resident), mebibytes(theirs.Resident))
	t.row(what+": of it heap and stacks, the rest being pages of binaries", "%.0f MiB", mebibytes(ours.Own), mebibytes(theirs.Own))
}

// fleet are the rows of a fleet.
func (t table) fleet(f pair[fleetResult]) {
	ours, theirs := f.ours, f.flux
	name := fmt.Sprintf("%d Kustomizations", ours.size)
	switch {
	case ours.chain:
		name = fmt.Sprintf("a chain of %d dependsOn", ours.size)
	case ours.ballast > 0:
		name = fmt.Sprintf("1 Kustomization, %d files beside it", ours.ballast)
	}
	t.usage(name+": until all are Ready", ours.cold, theirs.cold)
	if ours.chain {
		t.usage(name+": all changed, until the last is applied", ours.applied, theirs.applied)
		return
	}
	t.usage(name+": one file changed, until applied", ours.applied, theirs.applied)
	t.usage(name+": one file changed, until all show the revision", ours.revised, theirs.revised)
	t.usage(name+": nothing changed, all asked", ours.asked, theirs.asked)
	t.usage(name+": an object that somebody changed, until repaired (Flux: when asked)", ours.repaired, theirs.repaired)
	t.memory(name, ours.memory, theirs.memory)
}

// oci are the rows of OCIRepositories.
func (t table) oci(o pair[ociResult]) {
	name := fmt.Sprintf("%d OCIRepositories", o.ours.size)
	t.usage(name+": until all are Ready", o.ours.cold, o.flux.cold)
	checks := fmt.Sprintf("%s: %d checks of each that find nothing new (an hour of them at an interval of 5 minutes)",
		name, int(steadyTime/ociInterval))
	t.time(checks+", CPU", o.ours.steady.cpu, o.flux.steady.cpu)
	t.row(checks+", requests to the registry", "%.0f", float64(o.ours.asked), float64(o.flux.asked))
	t.row(checks+", API requests", "%.0f", float64(o.ours.steady.requests), float64(o.flux.steady.requests))
	t.memory(name, o.ours.memory, o.flux.memory)
}
