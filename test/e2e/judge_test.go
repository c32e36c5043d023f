// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/traffic"
)

const (
	// fewErrors is the part of the requests that the bad release fails: too few for a person who looks.
	fewErrors = 0.05
	// inTime is how soon its users are to be taken off it, at fifty requests a second, half of which it gets. Nine of
	// ten such releases have as many errors as a verdict takes within nine seconds, and 99 of a hundred within twelve;
	// the rest is for scrapes and looks. That two are late is one time in thousands.
	inTime = 15 * time.Second
)

// judgeReleases lets the judge alone decide, without any threshold: about releases with few errors, which it has to
// find in time, and about one that is as good as its primary.
func judgeReleases(t *testing.T, c *chain.Chain) {
	t.Helper()
	if err := onlyTheJudgeDecides(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var late []time.Duration
	for _, tag := range []string{"2.0.0", "2.0.1"} {
		took := cut(t, c, tag)
		if took <= inTime {
			break
		}
		late = append(late, took)
	}
	if len(late) == 2 {
		t.Errorf("two releases with %g %% errors were cut after %s, want %s", 100*fewErrors, late, inTime)
	}
	told, err := healthyRelease(t.Context(), c, chain.Release{Tag: "2.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(told)
}

// onlyTheJudgeDecides leaves the Canary no thresholds.
func onlyTheJudgeDecides(ctx context.Context, c *chain.Chain) error {
	return c.EditCanary(ctx, func(canary *flaggerv1.Canary) {
		a := canary.Spec.Analysis
		a.Metrics, a.StepWeight, a.MaxWeight = nil, 50, 50
		a.Sampling = &flaggerv1.CanarySampling{Interval: "1s", Disabled: true}
		a.Judge = &flaggerv1.CanaryJudge{Metrics: []flaggerv1.JudgeMetric{flaggerv1.JudgeErrors}, Negligible: "0.02",
			OnInconclusive: flaggerv1.InconclusiveRollback}
	})
}

// healthyRelease releases a version that is as good as its primary, and tells what became of it. It is an error
// if that is no promotion.
func healthyRelease(ctx context.Context, c *chain.Chain, r chain.Release) (string, error) {
	began := time.Now()
	c.Ledger.Open()
	got, err := released(ctx, c, r)
	if err != nil {
		return "", err
	}
	users := c.Ledger.Open()
	said, err := judgement(ctx, c)
	if err != nil {
		return "", err
	}
	told := fmt.Sprintf("%s was %s after %s, %d of its %d requests failed and %d of %d in all: %s", r.Tag, got,
		time.Since(began).Round(time.Second), users.CanaryFailed, users.Canary, users.Failed, users.Requests, said)
	if got != chain.Promoted {
		return told, fmt.Errorf("%w: %s", errNotPromoted, told)
	}
	return told, nil
}

// errNotPromoted means that the judge was wrong about a release.
var errNotPromoted = errors.New("a release as good as its primary is not promoted")

// cut releases a version with few errors, and returns how long users were sent to it.
func cut(t *testing.T, c *chain.Chain, tag string) time.Duration {
	t.Helper()
	c.Ledger.Open()
	got, err := released(t.Context(), c, chain.Release{Tag: tag, Traits: traffic.Traits{ErrorRate: fewErrors}})
	if err != nil {
		t.Fatal(err)
	}
	if got != chain.RolledBack {
		said, err := judgement(t.Context(), c)
		t.Fatalf("%s, which fails %g %% of its requests, was %s: %s %v", tag, 100*fewErrors, got, said, err)
	}
	if err := answered(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	users := c.Ledger.Open()
	canary, err := c.Canary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release := canary.Status.History[0]
	took := release.EndedAt.Sub(release.Steps[0].At.Time)
	t.Logf("%s was cut after %s and %d errors of its users: %s", tag, took, users.CanaryFailed, release.Reason)
	if !strings.HasPrefix(release.Reason, "errors ") || !strings.Contains(release.Reason, "99 % sure") {
		t.Errorf("%s was rolled back because of %q", tag, release.Reason)
	}
	return took
}

// released releases a version, and waits for its end.
func released(ctx context.Context, c *chain.Chain, r chain.Release) (chain.Outcome, error) {
	if err := c.Release(ctx, r); err != nil {
		return "", err
	}
	return c.Verdict(ctx, r.Tag)
}

// judgement is what the judge says.
func judgement(ctx context.Context, c *chain.Chain) (string, error) {
	canary, err := c.Canary(ctx)
	if err != nil || canary.Status.Judge == nil {
		return "", fmt.Errorf("no judgement: %w", err)
	}
	return canary.Status.Judge.Outcome + ", " + canary.Status.Judge.Message, nil
}
