// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// canaryCase is a crowd of canaries in one namespace.
type canaryCase struct {
	namespace string
	size      int
	flagger   bool // served by Flagger, not by us
	release   bool // all at once, after a while at rest
}

// canaryResult is what a crowd of canaries cost.
type canaryResult struct {
	rest       usage
	restMemory harness.Memory
	// release is the time in which all released, of which each took between its
	// push and its verdict the median, and at most the slowest.
	release         usage
	median, slowest time.Duration
	releaseMemory   harness.Memory
	size            int
}

const (
	// restTime is how long canaries at rest are looked at: Flagger looks at each
	// every ten seconds.
	restTime = time.Minute
	// settleTime lets what the start left over come to an end.
	settleTime = 15 * time.Second
	// crowdPatience bounds the start of many canaries: their pods come from a
	// controller manager and a scheduler with limits of their own.
	crowdPatience = 20 * time.Minute
)

func measureCanaries(ctx context.Context, p *harness.Playground, c canaryCase, dir string) (canaryResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := canaryResult{size: c.size}
	if err := c.create(ctx, p); err != nil {
		return r, err
	}
	s, err := startSubject(ctx, p, c, dir)
	if err != nil {
		return r, err
	}
	defer s.Stop()
	m := canaryMeter{p: p, canaryCase: c, subject: s}
	if err = m.rest(ctx, &r); err == nil && c.release {
		err = m.release(ctx, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%w\nlast lines of the controller's log:\n%s", err, s.Tail(3000))
	}
	return r, nil
}

// crowdSteps measure canaries: as many of ours as of Flagger's, and many at rest.
func crowdSteps(ctx context.Context, p *harness.Playground, size sizes, r *results) []step {
	return []step{
		{"canary-release", func(dir string) (err error) {
			r.ours, err = measureCanaries(ctx, p, canaryCase{namespace: "bench-canaries", size: size.canaries, release: true}, dir)
			return err
		}},
		{"canary-flagger", func(dir string) (err error) {
			r.theirs, err = measureCanaries(ctx, p, canaryCase{namespace: "bench-flagger", size: size.canaries, release: true, flagger: true}, dir)
			return err
		}},
		{"canary-rest", func(dir string) (err error) {
			r.resting, err = measureCanaries(ctx, p, canaryCase{namespace: "bench-resting", size: size.resting}, dir)
			return err
		}},
		{"judge", func(string) (err error) {
			r.judged, r.sampled, err = measureLooks(ctx, p, size.resting)
			return err
		}},
	}
}

// create makes the canaries before anybody serves them.
func (c canaryCase) create(ctx context.Context, p *harness.Playground) error {
	v := values{Name: c.namespace, URL: p.Prometheus, Revision: "1"}
	if err := p.Apply(ctx, render(canaryNamespace, v)); err != nil {
		return err
	}
	return c.each(ctx, func(ctx context.Context, app string) error {
		v := v
		v.App = app
		return p.Apply(ctx, render(canaryManifests, v))
	})
}

// each does something for all apps, a few at a time.
func (c canaryCase) each(ctx context.Context, do func(ctx context.Context, app string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range c.size {
		group.Go(func() error { return do(ctx, fmt.Sprintf("app-%04d", i)) })
	}
	return group.Wait()
}

// canaryMeter measures one crowd.
type canaryMeter struct {
	canaryCase
	p       *harness.Playground
	subject *subject
}

// rest waits until all canaries are at rest, and looks at what they cost then.
func (m canaryMeter) rest(ctx context.Context, r *canaryResult) error {
	start := time.Now()
	if _, err := m.await(ctx, flaggerv1.CanaryPhaseInitialized); err != nil {
		return err
	}
	up := time.Since(start)
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	before, err := m.subject.read()
	if err != nil {
		return err
	}
	if err := pause(ctx, restTime); err != nil {
		return err
	}
	after, err := m.subject.read()
	if err != nil {
		return err
	}
	r.rest = after.since(before)
	m.subject.count.most() // of the start
	r.restMemory, err = m.subject.Memory()
	fmt.Printf("    %d canaries: up in %v; at rest %.0f requests and %.0f watches per minute, %v CPU, %v\n", m.size, up.Round(time.Second),
		r.rest.perMinute(r.rest.requests), r.rest.perMinute(r.rest.watches), r.rest.cpu, r.restMemory)
	return err
}

// release changes all targets at once, and follows each to its verdict.
func (m canaryMeter) release(ctx context.Context, r *canaryResult) error {
	before, err := m.subject.read()
	if err != nil {
		return err
	}
	if err := m.each(ctx, func(ctx context.Context, app string) error {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: app}}
		return m.p.Client.Patch(ctx, d, client.RawPatch("application/strategic-merge-patch+json",
			[]byte(`{"spec":{"template":{"metadata":{"annotations":{"example.com/revision":"2"}}}}}`)))
	}); err != nil {
		return err
	}
	pushed := time.Now()
	ended, err := m.await(ctx, flaggerv1.CanaryPhaseSucceeded)
	if err != nil {
		return err
	}
	after, err := m.subject.read()
	if err != nil {
		return err
	}
	slices.SortFunc(ended, time.Time.Compare)
	r.release = after.since(before)
	r.median, r.slowest = ended[len(ended)/2].Sub(pushed), ended[len(ended)-1].Sub(pushed)
	r.releaseMemory, err = m.subject.Memory()
	fmt.Printf("    %d releases at once: verdict after %v (median), %v (slowest); %.1f requests each, %.1f of them writes; %v CPU, %v\n",
		m.size, r.median, r.slowest, float64(r.release.requests)/float64(m.size),
		float64(r.release.writes)/float64(m.size), r.release.cpu, r.releaseMemory)
	fmt.Println("    requests of the releases:", m.subject.count.most())
	return err
}

// await waits until all canaries are in a phase, and says when each of them was.
func (m canaryMeter) await(ctx context.Context, phase flaggerv1.CanaryPhase) ([]time.Time, error) {
	when := map[string]time.Time{}
	err := crowd{
		namespace: m.namespace, size: m.size, patience: crowdPatience,
		empty: func() client.ObjectList { return &flaggerv1.CanaryList{} },
		done: func(obj client.Object) bool {
			c, ok := obj.(*flaggerv1.Canary)
			if !ok || c.Status.Phase != phase {
				return false
			}
			if _, known := when[c.Name]; !known {
				when[c.Name] = time.Now()
			}
			return true
		},
	}.await(ctx, m.p)
	ended := make([]time.Time, 0, len(when))
	for _, at := range when {
		ended = append(ended, at)
	}
	return ended, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// dwell is the sum of the times that a release stays in its steps.
const dwell = canarySteps * canaryInterval * time.Second

// canaryReport is the part of the page about canaries.
func canaryReport(b *strings.Builder, r results) {
	perCanary := func(r canaryResult) float64 { return r.rest.perMinute(r.rest.requests) / float64(r.size) }
	each := func(r canaryResult, n int64) float64 { return float64(n) / float64(r.size) }
	fmt.Fprintf(b, `
## Canaries

Flagger 1.44.0 ran unmodified with its defaults in the same run, on the same simulated cluster, with the same objects:
%d Canaries of provider gatewayapi:v1, three steps of %d s, one metric of Prometheus. Requests are those that reach the API
server, counted by a proxy in front of it; opening a watch is not one of them. CPU is that of the process.

| What | Sluice | Flagger 1.44.0 | ratio |
|---|---|---|---|
`, r.ours.size, canaryInterval)
	row := func(what, format string, ours, theirs float64) {
		fmt.Fprintf(b, "| %s | "+format+" | "+format+" | %.3f |\n", what, ours, theirs, ours/theirs)
	}
	name := fmt.Sprintf("%d canaries ", r.ours.size)
	row(name+"at rest: API requests per canary and minute", "%.2f", perCanary(r.ours), perCanary(r.theirs))
	row(name+"at rest: CPU per minute, in ms", "%.0f", milliseconds(r.ours.rest.cpu), milliseconds(r.theirs.rest.cpu))
	memory := func(what string, ours, theirs harness.Memory) {
		row(what+": resident memory, in MiB", "%.0f", mebibytes(ours.Resident), mebibytes(theirs.Resident))
		row(what+": of it heap and stacks, the rest being pages of the binary", "%.0f", mebibytes(ours.Own), mebibytes(theirs.Own))
	}
	memory(name+"at rest", r.ours.restMemory, r.theirs.restMemory)
	row(name+"releasing at once: push to verdict, median, in s", "%.1f", r.ours.median.Seconds(), r.theirs.median.Seconds())
	row(name+"releasing at once: push to verdict, slowest, in s", "%.1f", r.ours.slowest.Seconds(), r.theirs.slowest.Seconds())
	row(fmt.Sprintf("%sreleasing at once: median beyond the steps' %.0f s, in s", name, dwell.Seconds()), "%.1f",
		(r.ours.median - dwell).Seconds(), (r.theirs.median - dwell).Seconds())
	row(name+"releasing at once: API requests per release", "%.1f",
		each(r.ours, r.ours.release.requests), each(r.theirs, r.theirs.release.requests))
	row(name+"releasing at once: writes per release", "%.1f", each(r.ours, r.ours.release.writes), each(r.theirs, r.theirs.release.writes))
	row(name+"releasing at once: CPU per release, in ms", "%.1f",
		milliseconds(r.ours.release.cpu)/float64(r.ours.size), milliseconds(r.theirs.release.cpu)/float64(r.theirs.size))
	memory(name+"releasing at once", r.ours.releaseMemory, r.theirs.releaseMemory)
	fmt.Fprintf(b, `| %d canaries at rest: API requests per minute, all of them | %.1f | | |
| %d canaries at rest: CPU per minute, in ms | %.0f | | |
| %d canaries at rest: resident memory, in MiB | %.0f | | |
`, r.resting.size, r.resting.rest.perMinute(r.resting.rest.requests), r.resting.size,
		milliseconds(r.resting.rest.cpu), r.resting.size, mebibytes(r.resting.restMemory.Resident))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
