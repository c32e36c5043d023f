// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	judgecounter "github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// lookResult is what a number of looks at a number of canaries cost.
type lookResult struct {
	canaries, looks, queries int
	// cpu is that of the process that looks, and server that of Prometheus.
	cpu, server time.Duration
	median      time.Duration
	// allocated is what one look allocates, and held what all canaries hold between two looks, in bytes.
	allocated, held int64
}

const (
	// lookEvery is how often a canary is looked at, and lookRounds how many times each is.
	lookEvery  = 5 * time.Second
	lookRounds = 6
	// judgedPods are those of a canary, of which the first is its own.
	judgedPods = 3
)

var judgedBounds = []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"}

// measureLooks looks at canaries by the counters of both arms, as the judge does, and by the
// numbers that thresholds are about.
func measureLooks(ctx context.Context, p *harness.Playground, canaries int) (judge, thresholds lookResult, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err = serveCounters(ctx, p, canaries); err != nil {
		return judge, thresholds, err
	}
	m := lookMeter{p: p, checker: metric.NewChecker(p.Client, p.Prometheus, clock.RealClock{}), canaries: canaries}
	if err = m.scraped(ctx); err != nil {
		return judge, thresholds, err
	}
	if thresholds, err = m.measure(ctx, m.thresholds); err != nil {
		return judge, thresholds, fmt.Errorf("thresholds: %w", err)
	}
	if judge, err = m.measure(ctx, m.counters); err != nil {
		return judge, thresholds, fmt.Errorf("counters: %w", err)
	}
	return judge, thresholds, nil
}

// serveCounters lets Prometheus scrape the pods of all canaries, at one address.
func serveCounters(ctx context.Context, p *harness.Playground, canaries int) error {
	var page strings.Builder
	for i := range canaries {
		for pod := range judgedPods {
			name := fmt.Sprintf("app-%04d-primary-5d4c8f7b9-aaaa%d", i, pod)
			if pod == 0 {
				name = fmt.Sprintf("app-%04d-5d4c8f7b9-aaaaa", i)
			}
			for _, status := range []string{"200", "500"} {
				labels := fmt.Sprintf(`kubernetes_namespace="bench",kubernetes_pod_name="%s",status="%s"`, name, status)
				for _, le := range append(slices.Clone(judgedBounds), "+Inf") {
					fmt.Fprintf(&page, "http_request_duration_seconds_bucket{%s,le=\"%s\"} 1000\n", labels, le)
				}
				fmt.Fprintf(&page, "http_request_duration_seconds_count{%s} 1000\n", labels)
			}
		}
	}
	text := []byte(page.String())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(text)
	})}
	file := filepath.Join(p.PrometheusTargets, "bench-judge.json")
	context.AfterFunc(ctx, func() {
		_ = server.Close()
		_ = os.Remove(file)
	})
	go func() { _ = server.Serve(listener) }()
	targets, err := json.Marshal([]map[string]any{{
		"targets": []string{listener.Addr().String()},
		"labels":  map[string]string{"__scrape_interval__": "15s", "__scrape_timeout__": "14s"},
	}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, targets, 0o600)
}

// lookMeter measures looks at a number of canaries.
type lookMeter struct {
	p        *harness.Playground
	checker  *metric.Checker
	canaries int
}

func (m lookMeter) canary(i int) *flaggerv1.Canary {
	return make.Canary("bench", fmt.Sprintf("app-%04d", i), func(c *flaggerv1.Canary) {
		c.Spec.Provider, c.Spec.TargetRef.Name = "kubernetes", c.Name
	})
}

// look looks at one canary, and returns how many queries that took.
type look func(ctx context.Context) (queries int, err error)

// thresholds measures two numbers, as a sample of a canary with both built-in checks does.
func (m lookMeter) thresholds(ctx context.Context, i int) (look, error) {
	var all []metric.Measure
	for _, name := range flaggerv1.BuiltinMetrics {
		measure, err := m.checker.Prepare(ctx, m.canary(i), flaggerv1.CanaryMetric{Name: name, Interval: "1m"})
		if err != nil {
			return nil, err
		}
		all = append(all, measure)
	}
	return func(ctx context.Context) (int, error) {
		for n, measure := range all {
			// Nothing happened, so that a rate of success has no value.
			if _, err := measure(ctx, 0); err != nil && !strings.Contains(err.Error(), metric.ErrNoValues.Error()) {
				return n, err
			}
		}
		return len(all), nil
	}, nil
}

// counters reads what both checks count, and what happened since the look before.
func (m lookMeter) counters(ctx context.Context, i int) (look, error) {
	read, err := m.checker.PrepareCounters(ctx, m.canary(i),
		flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate}, flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration})
	cursor := judgecounter.Cursor{}
	return func(ctx context.Context) (int, error) {
		reading, err := read(ctx, time.Now().Add(-metric.Settling))
		if err != nil {
			return 1, err
		}
		if want := judgedPods * (3 + len(judgedBounds)); len(reading.Samples) != want {
			return 1, fmt.Errorf("a reading of %d counters, want %d", len(reading.Samples), want)
		}
		cursor, _, _, err = cursor.Add(reading, judgecounter.Options{})
		return 1, err
	}, err
}

// scraped waits until Prometheus has the counters of the last canary.
func (m lookMeter) scraped(ctx context.Context) error {
	try, err := m.counters(ctx, m.canaries-1)
	if err != nil {
		return err
	}
	_, err = harness.Eventually(ctx, "a scrape", time.Minute, func(ctx context.Context) (bool, string) {
		_, err := try(ctx)
		return err == nil, fmt.Sprint(err)
	})
	return err
}

// measure looks at all canaries, again and again.
func (m lookMeter) measure(ctx context.Context, prepare func(context.Context, int) (look, error)) (lookResult, error) {
	r := lookResult{canaries: m.canaries}
	before, server, err := m.meters(ctx)
	if err != nil {
		return r, err
	}
	looks := slices.Repeat([]look{nil}, m.canaries)
	for i := range looks {
		if looks[i], err = prepare(ctx, i); err != nil {
			return r, err
		}
	}
	var took []time.Duration
	for range lookRounds {
		start := time.Now()
		round, queries, err := all(ctx, looks)
		if err != nil {
			return r, err
		}
		took, r.queries = append(took, round...), r.queries+queries
		if err := pause(ctx, time.Until(start.Add(lookEvery))); err != nil {
			return r, err
		}
	}
	after, serverAfter, err := m.meters(ctx)
	if err != nil {
		return r, err
	}
	slices.Sort(took)
	r.looks, r.median = len(took), took[len(took)/2]
	r.cpu, r.server = after.cpu-before.cpu, serverAfter-server
	r.allocated, r.held = (after.allocated-before.allocated)/int64(r.looks), after.heap-before.heap
	runtime.KeepAlive(looks)
	return r, nil
}

// all looks at each canary once, a few at a time.
func all(ctx context.Context, looks []look) (took []time.Duration, queries int, err error) {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, one := range looks {
		group.Go(func() error {
			start := time.Now()
			n, err := one(ctx)
			mu.Lock()
			defer mu.Unlock()
			took, queries = append(took, time.Since(start)), queries+n
			return err
		})
	}
	err = group.Wait()
	return took, queries, err
}

// ownMeter is what this process has used.
type ownMeter struct {
	cpu             time.Duration
	allocated, heap int64
}

// meters reads what this process and Prometheus have used by now.
func (m lookMeter) meters(ctx context.Context) (own ownMeter, server time.Duration, err error) {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return own, 0, fmt.Errorf("reading what this process used: %w", err)
	}
	own = ownMeter{
		cpu:       time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		allocated: int64(memory.TotalAlloc), heap: int64(memory.HeapAlloc),
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.p.Prometheus+"/metrics", nil)
	if err != nil {
		return own, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return own, 0, fmt.Errorf("reading what Prometheus used: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "process_cpu_seconds_total "); ok {
			seconds, err := strconv.ParseFloat(text, 64)
			return own, time.Duration(seconds * float64(time.Second)), err
		}
	}
	return own, 0, fmt.Errorf("Prometheus does not say what it used")
}

// judgingReport is a section of the page.
func judgingReport(b *strings.Builder, judge, thresholds lookResult) {
	fmt.Fprintf(b, `
## Looking at canaries

What it costs to look at %d Canaries every %.0f seconds: by the counters of both arms (%d of %d pods, a histogram of %d bounds), as the
judge does, and by the two numbers of the canary that thresholds are about. CPU is per minute, at a look every %.0f seconds;
a part of Prometheus's is for scrapes, which are every 15 seconds. While nothing is released thresholds are not looked at, and the
judge looks at the primary every 30 seconds, a sixth as often as here, to test itself.

| What | judge | thresholds | ratio |
|---|---|---|---|
`, judge.canaries, lookEvery.Seconds(), judgedPods*(3+len(judgedBounds)), judgedPods, len(judgedBounds), lookEvery.Seconds())
	row := func(what, format string, ours, theirs float64) {
		fmt.Fprintf(b, "| %s | "+format+" | "+format+" | %.2f |\n", what, ours, theirs, ours/theirs)
	}
	perMinute := func(used time.Duration) float64 {
		return used.Seconds() / lookRounds * time.Minute.Seconds() / lookEvery.Seconds()
	}
	row("queries per look", "%.0f", float64(judge.queries)/float64(judge.looks), float64(thresholds.queries)/float64(thresholds.looks))
	row("CPU of Sluice, in s", "%.1f", perMinute(judge.cpu), perMinute(thresholds.cpu))
	row("CPU of Prometheus, in s", "%.1f", perMinute(judge.server), perMinute(thresholds.server))
	row("a look, median, in ms", "%.1f", milliseconds(judge.median), milliseconds(thresholds.median))
	row("allocated per look, in KiB", "%.0f", float64(judge.allocated)/1024, float64(thresholds.allocated)/1024)
	row("held by all canaries between two looks, in MiB", "%.1f", mebibytes(judge.held), mebibytes(thresholds.held))
}
