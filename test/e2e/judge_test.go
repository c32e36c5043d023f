// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/traffic"
)

// healthy is how many releases in a row the judge has to pass: `make soak` asks for a hundred. The second half of them
// fails as many requests as its primary does.
var healthy = flag.Int("healthy-releases", 1, "releases as good as their primary that the judge has to promote, one after the other")

const (
	// fewErrors is the part of the requests that the bad release fails: too few for a person who looks.
	fewErrors = 0.05
	// inTime is how soon its users are to be taken off it, at fifty requests a second, half of which it gets. Nine of
	// ten such releases have as many errors as a verdict takes within nine seconds, and 99 of a hundred within twelve;
	// the rest is for scrapes and looks. That two are late is one time in thousands.
	inTime = 15 * time.Second
)

// judgeReleases lets the judge alone decide, without any threshold.
func judgeReleases(t *testing.T, c *chain.Chain) {
	t.Helper()
	if err := c.EditCanary(t.Context(), func(canary *flaggerv1.Canary) {
		a := canary.Spec.Analysis
		a.Metrics, a.StepWeight, a.MaxWeight = nil, 50, 50
		a.Sampling = &flaggerv1.CanarySampling{Interval: "1s", Disabled: true}
		a.Judge = &flaggerv1.CanaryJudge{Metrics: []flaggerv1.JudgeMetric{flaggerv1.JudgeErrors}, Negligible: "0.02",
			OnInconclusive: flaggerv1.InconclusiveRollback}
	}); err != nil {
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
	var usual traffic.Traits
	for i := range *healthy {
		if i > 0 && i == (*healthy+1)/2 {
			usual.ErrorRate = fewErrors
			everybodyMeetsErrors(t, c, chain.Release{Tag: fmt.Sprintf("2.%d.1", i), Traits: usual})
		}
		tag := fmt.Sprintf("2.%d.0", i+1)
		began := time.Now()
		c.Ledger.Open()
		if got := released(t, c, chain.Release{Tag: tag, Traits: usual}); got != chain.Promoted {
			t.Fatalf("%s, which is as good as its primary, was %s: %s", tag, got, judgement(t, c))
		}
		users := c.Ledger.Open()
		t.Logf("%s was promoted after %s, %d of its %d requests failed and %d of %d in all: %s", tag, time.Since(began).Round(time.Second),
			users.CanaryFailed, users.Canary, users.Failed, users.Requests, judgement(t, c))
	}
}

// everybodyMeetsErrors brings a version with few errors to all users, whatever the judge would say, for those that
// follow to be no worse than that.
func everybodyMeetsErrors(t *testing.T, c *chain.Chain, r chain.Release) {
	t.Helper()
	if err := c.EditCanary(t.Context(), func(canary *flaggerv1.Canary) {
		canary.Spec.SkipAnalysis = true
		canary.Spec.ProgressDeadlineSeconds = new(int32(120)) // a verdict about that many errors takes half a minute
		canary.Spec.Analysis.Judge.Regression = "3"
	}); err != nil {
		t.Fatal(err)
	}
	if got := released(t, c, r); got != chain.Promoted {
		t.Fatalf("%s was %s without an analysis", r.Tag, got)
	}
	if err := c.EditCanary(t.Context(), func(canary *flaggerv1.Canary) {
		canary.Spec.SkipAnalysis = false
		canary.Spec.Analysis.Judge.Alpha = "0.001" // of fifty releases, one in twenty runs at most has a false alarm
	}); err != nil {
		t.Fatal(err)
	}
	answered(t, c)
}

// cut releases a version with few errors, and returns how long users were sent to it.
func cut(t *testing.T, c *chain.Chain, tag string) time.Duration {
	t.Helper()
	c.Ledger.Open()
	if got := released(t, c, chain.Release{Tag: tag, Traits: traffic.Traits{ErrorRate: fewErrors}}); got != chain.RolledBack {
		t.Fatalf("%s, which fails %g %% of its requests, was %s: %s", tag, 100*fewErrors, got, judgement(t, c))
	}
	answered(t, c)
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

func released(t *testing.T, c *chain.Chain, r chain.Release) chain.Outcome {
	t.Helper()
	if err := c.Release(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, err := c.Verdict(t.Context(), r.Tag)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// judgement is what the judge says.
func judgement(t *testing.T, c *chain.Chain) string {
	t.Helper()
	canary, err := c.Canary(t.Context())
	if err != nil || canary.Status.Judge == nil {
		t.Fatalf("no judgement: %v", err)
	}
	return canary.Status.Judge.Outcome + ", " + canary.Status.Judge.Message
}
