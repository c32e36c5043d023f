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
	c := start(t)
	for _, tc := range []struct {
		release chain.Release
		want    chain.Outcome
	}{
		{chain.Release{Tag: "1.1.0"}, chain.Promoted},
		{chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.5, ErrorNamespace: c.In(chain.Production)}}, chain.RolledBack},
	} {
		if err := c.Release(t.Context(), tc.release); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Verdict(t.Context(), tc.release.Tag); err != nil || got != tc.want {
			t.Fatalf("%s was %q, want %q: %v", tc.release.Tag, got, tc.want, err)
		}
		image, err := c.Running(t.Context(), chain.Production)
		if err != nil || !strings.HasPrefix(image, c.Image()+":1.1.0@sha256:") {
			t.Errorf("after %s the users of production get %s: %v", tc.release.Tag, image, err)
		}
	}
	if err := c.Settled(t.Context(), "1.2.0"); err != nil {
		t.Error(err)
	}
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

const (
	// interval is that of the analysis in this test.
	interval = 4 * time.Second
	// deadline is how long pods are given.
	deadline = 20 * time.Second
)

// start runs a chain, its users and the controller, and waits until the first version
// serves. The controller serves all namespaces, since the chain has several: the package
// has a playground to itself.
func start(t *testing.T) *chain.Promotion {
	t.Helper()
	log.SetLogger(logr.Discard()) // what is worth telling is in the log of the controller
	p := harness.Require(t)
	if p.Node == "real" {
		t.Skip("for simulated nodes: what is bad in one environment alone is not built for real ones")
	}
	work := t.TempDir()
	name := fmt.Sprintf("shop-%d", time.Now().UnixNano()) // the registry remembers the tags of other runs
	c, err := chain.SetupPromotion(t.Context(), p, work, chain.Options{Namespace: name, Interval: interval, Deadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	c.Users(t)
	sluice, err := p.Start(t.Context(), work, "--canary-min-interval", interval.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sluice.Stop()
		if t.Failed() {
			t.Log(sluice.Tail(8000))
		}
	})
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil { // while the controller runs, which finalizes
			t.Error(err)
		}
	})
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}
