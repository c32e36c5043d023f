// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// harmInterval is that of the analysis: the shortest one that Flagger has by
// default, in its favour.
const harmInterval = 10 * time.Second

// badReleases are what users are harmed with.
var badReleases = []struct {
	what    string
	release chain.Release
}{
	{"every second answer is an error", chain.Release{Tag: "1.1.0", Traits: traffic.Traits{ErrorRate: 0.5}}},
	{"one answer in ten is an error", chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.1}}},
	{"every answer takes 700 ms, where 500 ms are allowed", chain.Release{
		Tag: "1.3.0", Traits: traffic.Traits{Latency: 700 * time.Millisecond},
	}},
}

// harmResult is what users got of a release that was rolled back, and how many
// requests would have failed by Flagger's rules on the same trace.
type harmResult struct {
	what   string
	got    traffic.Account
	theirs float64
}

// measureHarm puts bad releases through the whole chain.
func measureHarm(ctx context.Context, p *harness.Playground, dir string) (results []harmResult, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := chain.Options{Namespace: "bench-harm", Interval: harmInterval}
	c, err := chain.Setup(ctx, p, dir, options)
	if err != nil {
		return nil, err
	}
	users := make(chan error, 1)
	go func() { users <- c.Traffic(ctx) }()
	defer func() {
		cancel()
		if left := <-users; err == nil {
			err = left
		}
	}()
	sluice, err := p.StartController(ctx, dir, "--watch-namespace", c.Namespace)
	if err != nil {
		return nil, err
	}
	defer sluice.Stop()
	if err := c.Ready(ctx); err != nil {
		return nil, err
	}
	for _, bad := range badReleases {
		c.Ledger.Open()
		if err := c.Release(ctx, bad.release); err != nil {
			return nil, err
		}
		if got, err := c.Verdict(ctx, bad.release.Tag); err != nil || got != chain.RolledBack {
			return nil, fmt.Errorf("%s was %q, and not rolled back: %w", bad.release.Tag, got, err)
		}
		account := c.Ledger.Open()
		r := harmResult{what: bad.what, got: account, theirs: options.Rules().Replay(account, chain.Good)}
		fmt.Printf("    %s: %d requests of users failed, by Flagger's rules %.0f\n", r.what, account.CanaryFailed, r.theirs)
		results = append(results, r)
	}
	return results, nil
}

// harmReport renders what users got of bad releases.
func harmReport(b *strings.Builder, all []harmResult) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, `
## Bad releases

Users send 100 requests a second while a bad release comes through the whole chain: steps of 20%%, an interval of %.0f s, a
threshold of 2. Counted are the requests that the bad pods failed until the release had lost all its users; and what
Flagger's rules would have let through on the same trace, had its metrics known everything at once.

| Release | Sluice: failed requests | Flagger's rules | ratio |
|---|---|---|---|
`, harmInterval.Seconds())
	for _, r := range all {
		fmt.Fprintf(b, "| %s | %d | %.0f | %.3f |\n", r.what, r.got.CanaryFailed, r.theirs, float64(r.got.CanaryFailed)/r.theirs)
	}
}
