// SPDX-License-Identifier: Apache-2.0

// Package promotion puts releases through the chain of config/samples/promotion, from
// staging to production, with the real controller on a playground.
package promotion

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// TestWhatFailsInProductionAloneIsTakenBackThere is the story of the demo: a good release
// goes from staging to production; one that only the users of production have trouble
// with is taken back in Git, and no stage is given it again.
func TestWhatFailsInProductionAloneIsTakenBackThere(t *testing.T) {
	c := start(t, byCommits)
	play(t, c, "1.2.0", "1.1.0")
	commits, err := c.Repo.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Roll back production to podinfo 1.1.0",
		"Promote production to podinfo 1.2.0", "Promote staging to podinfo 1.2.0",
		"Promote production to podinfo 1.1.0", "Promote staging to podinfo 1.1.0",
		"Begin with 1.0.0",
	}
	if diff := cmp.Diff(want, commits); diff != "" {
		t.Errorf("commits, newest first (-want +got):\n%s", diff)
	}
}

// TestWhatAPersonMergesGoesToProductionAndBack is about a bad release, with production by
// pull request at a real forge. The interval of the pipeline is longer than anything is
// waited for: what is seen of a merge is seen because the forge told the Receiver.
func TestWhatAPersonMergesGoesToProductionAndBack(t *testing.T) {
	var c *chain.PullRequests
	set := func(p *harness.Playground, work string, o chain.Options) (*chain.Promotion, []string, error) {
		harness.RequireUpstream(t, "gitea")
		var err error
		c, err = chain.SetupPullRequests(t.Context(), p, work, o, chain.ByProgram)
		t.Cleanup(c.Close)
		if err != nil {
			return nil, nil, err
		}
		return c.Promotion, []string{"--receiverAddr", c.Webhooks}, nil
	}
	play(t, start(t, set), "1.1.0")
	ended, err := c.Ended(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, pr := range ended {
		if pr.MergedBy == nil || pr.MergedBy.Name != c.Person.Name {
			t.Errorf("%s was not merged by %s: %+v", pr.Title, c.Person.Name, pr)
		}
		got = append(got, pr.Title)
	}
	want := []string{"Roll back production of podinfo to podinfo 1.0.0", "Promote podinfo to production: podinfo 1.1.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pull requests, newest first (-want +got):\n%s", diff)
	}
}

// play puts good releases and then one that is bad in production alone through the chain.
func play(t *testing.T, c *chain.Promotion, bad string, good ...string) {
	t.Helper()
	serves := chain.First
	release := func(r chain.Release, want chain.Outcome) {
		t.Helper()
		if err := c.Release(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Verdict(t.Context(), r.Tag); err != nil || got != want {
			t.Fatalf("%s was %q, want %q: %v", r.Tag, got, want, err)
		}
	}
	running := func(after string) {
		t.Helper()
		// A version that is written with its digest is new to the Canary, which takes its time.
		what := "users of production who get " + serves
		_, err := harness.Eventually(t.Context(), what, harness.Patience, func(ctx context.Context) (bool, string) {
			image, err := c.Running(ctx, chain.Production)
			tag, _, _ := strings.Cut(image, "@sha256:")
			return err == nil && tag == c.Image()+":"+serves, fmt.Sprintf("%s: %v", image, err)
		})
		if err != nil {
			t.Errorf("after %s: %v", after, err)
		}
	}
	for _, tag := range good {
		release(chain.Release{Tag: tag}, chain.Promoted)
		serves = tag
		running(tag)
	}
	release(chain.Release{Tag: bad, Traits: traffic.Traits{ErrorRate: 0.5, ErrorNamespace: c.In(chain.Production)}}, chain.RolledBack)
	running(bad)
	if err := c.Settled(t.Context(), bad); err != nil {
		t.Error(err)
	}
}

const (
	// interval is that of the analysis in this test.
	interval = 4 * time.Second
	// deadline is how long pods are given.
	deadline = 20 * time.Second
)

// setup applies a chain, and returns the flags that its controller needs.
type setup func(p *harness.Playground, work string, o chain.Options) (*chain.Promotion, []string, error)

func byCommits(p *harness.Playground, work string, o chain.Options) (*chain.Promotion, []string, error) {
	c, err := chain.SetupPromotion(context.Background(), p, work, o)
	return c, nil, err
}

// start runs a chain, its users and the controller, and waits until the first version
// serves. The controller serves all namespaces, since the chain has several: the package
// has a playground to itself.
func start(t *testing.T, set setup) *chain.Promotion {
	t.Helper()
	log.SetLogger(logr.Discard()) // what is worth telling is in the log of the controller
	p := harness.Require(t)
	if p.Node == "real" {
		t.Skip("for simulated nodes: what is bad in one environment alone is not built for real ones")
	}
	work := t.TempDir()
	name := fmt.Sprintf("shop-%d", time.Now().UnixNano()) // the registry remembers the tags of other runs
	c, flags, err := set(p, work, chain.Options{Namespace: name, Interval: interval, Deadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	chain.Serve(t, c, func() (harness.Running, error) {
		return p.Start(t.Context(), work, append(flags, "--canary-min-interval", interval.String())...)
	})
	return c
}
