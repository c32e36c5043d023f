// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// healthy is how many releases the judge has to promote: `make soak` asks for a hundred.
var healthy = flag.Int("healthy-releases", 0, "put this many releases as good as their primary through the chain, and nothing else")

// sideBySide is how many apps share the releases; those of an app follow one another.
const sideBySide = 4

// TestHealthyReleasesAreAllPromoted releases what is as good as its primary, with the judge alone to decide. In the second half
// of the releases of each app, they and their primary fail as many requests, so that there is something to be wrong about.
func TestHealthyReleasesAreAllPromoted(t *testing.T) {
	if *healthy == 0 {
		t.Skip("nobody asks for any: make soak does")
	}
	apps := startSideBySide(t, min(sideBySide, *healthy))
	began := time.Now()
	var promoted atomic.Int64
	var all sync.WaitGroup
	for i, app := range apps {
		releases := (*healthy + i) / len(apps)
		all.Go(func() {
			s := soak{t: t, app: app, name: fmt.Sprintf("app %d", i+1), promoted: &promoted}
			if err := s.run(t.Context(), releases); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d of %d releases as good as their primary were promoted, those of %d apps side by side, in %s",
		promoted.Load(), *healthy, len(apps), time.Since(began).Round(time.Second))
}

// soak are the releases of one app.
type soak struct {
	t        *testing.T
	app      *chain.Chain
	name     string
	promoted *atomic.Int64
}

// run puts so many releases through the chain, one after the other. It goes on after one that was not promoted.
func (s soak) run(ctx context.Context, releases int) error {
	if err := onlyTheJudgeDecides(ctx, s.app); err != nil {
		return err
	}
	var usual traffic.Traits
	for i := range releases {
		if i > 0 && i == (releases+1)/2 {
			usual.ErrorRate = fewErrors
			if err := everybodyMeetsErrors(ctx, s.app, chain.Release{Tag: fmt.Sprintf("2.%d.1", i), Traits: usual}); err != nil {
				return err
			}
		}
		told, err := healthyRelease(ctx, s.app, chain.Release{Tag: fmt.Sprintf("2.%d.0", i+1), Traits: usual})
		switch {
		case errors.Is(err, errNotPromoted):
			s.t.Errorf("%s: %v", s.name, err)
		case err != nil:
			return err
		default:
			s.t.Logf("%s: %s", s.name, told)
			s.promoted.Add(1)
		}
	}
	return nil
}

// everybodyMeetsErrors brings a version with few errors to all users, whatever the judge would say, for those that
// follow to be no worse than that.
func everybodyMeetsErrors(ctx context.Context, c *chain.Chain, r chain.Release) error {
	if err := c.EditCanary(ctx, func(canary *flaggerv1.Canary) {
		canary.Spec.SkipAnalysis = true
		canary.Spec.ProgressDeadlineSeconds = new(int32(120)) // a verdict about that many errors takes half a minute
		canary.Spec.Analysis.Judge.Regression = "3"
	}); err != nil {
		return err
	}
	got, err := released(ctx, c, r)
	if err != nil {
		return err
	}
	if got != chain.Promoted {
		return fmt.Errorf("%s was %s without an analysis", r.Tag, got)
	}
	if err := c.EditCanary(ctx, func(canary *flaggerv1.Canary) {
		canary.Spec.SkipAnalysis = false
		canary.Spec.Analysis.Judge.Alpha = "0.001" // of fifty releases, one in twenty runs at most has a false alarm
	}); err != nil {
		return err
	}
	return answered(ctx, c)
}

// apps are chains that one controller serves.
type apps []*chain.Chain

// startSideBySide runs chains, their users and one controller, and waits until the first version serves in each.
func startSideBySide(t *testing.T, n int) apps {
	t.Helper()
	log.SetLogger(logr.Discard())
	p := harness.Require(t)
	all := make(apps, n)
	for i := range all {
		name := fmt.Sprintf("soak-%d-%d", i+1, time.Now().UnixNano())
		var err error
		if all[i], err = chain.Setup(t.Context(), p, t.TempDir(), chain.Options{Namespace: name, Interval: interval,
			Deadline: soakDeadline, Requests: 50}); err != nil {
			t.Fatal(err)
		}
	}
	chain.Serve(t, all, func() (harness.Running, error) {
		return p.Start(t.Context(), t.TempDir(), "--canary-min-interval", interval.String())
	})
	return all
}

// soakDeadline is how long pods of several apps may take to begin at once, and how long a verdict without errors may:
// a release that it ends is rolled back all the same.
const soakDeadline = time.Minute

// Users sends users to each app.
func (a apps) Users(tb testing.TB) {
	tb.Helper()
	for _, app := range a {
		app.Users(tb)
	}
}

// Ready waits until the first version is the primary of each app.
func (a apps) Ready(ctx context.Context) error {
	return a.each(func(app *chain.Chain) error { return app.Ready(ctx) })
}

// Remove deletes all of them.
func (a apps) Remove(ctx context.Context) error {
	return a.each(func(app *chain.Chain) error { return app.Remove(ctx) })
}

func (a apps) each(do func(*chain.Chain) error) error {
	var failed []error
	for _, app := range a {
		failed = append(failed, do(app))
	}
	return errors.Join(failed...)
}
