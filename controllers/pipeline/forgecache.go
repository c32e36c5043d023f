// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// forgeCache is what is remembered of the forge of a pipeline, so that one that finds
// nothing to do asks for nothing between two intervals. A restart loses it, and costs each
// stage a search for its pull request.
type forgeCache struct {
	// polled is when everything was read last.
	polled poll
	// logins are who we are at each forge.
	logins map[types.NamespacedName]string // by repository
	rules  map[branchKey]forge.Rules       // of base branches, as of then
	stages map[string]*pullRequestCache
}

// refresh decides once in a run whether to read everything: when the interval is over,
// somebody asked for a reconcile, or files of a stage changed, as they do when somebody merges.
// Commits to what is not of the pipeline are no reason.
func (m *forgeCache) refresh(ctx context.Context, p *sluicev1.Pipeline, repos repositories, heads *pushedHeads, now time.Time) {
	var trees []string
	for i := range p.Spec.Stages {
		if stage := &p.Spec.Stages[i]; stage.Write.PullRequest != nil && repos[stage.Name] != nil {
			trees = append(trees, repos.trees(ctx, stage, heads))
		}
	}
	next := pollAt(p, now, trees...)
	if !next.isDue(m.polled, p) {
		return
	}
	m.polled, m.rules = next, map[branchKey]forge.Rules{}
	if m.stages == nil {
		m.stages = map[string]*pullRequestCache{}
	}
	for _, seen := range m.stages {
		seen.stale = true
	}
}

// pullRequestCache is what is remembered of the pull request of a stage.
type pullRequestCache struct {
	known bool               // it was looked for
	pr    *forge.PullRequest // nil if there is none
	// landing means that it was merged, and its base was not looked at since.
	landing bool
	claims  bool // its head says that it was made by this pipeline
	checks  forge.Checks
	// stale means that it has to be read again, and again when that is so anyhow, after a
	// wait that doubles; zero is with the interval.
	stale bool
	again time.Time
	wait  time.Duration
	// awaited is what the last wait was for.
	awaited string
	// pushed is the head that was pushed last, and shown the status that was set last.
	pushed promotion.Pushed
	shown  promotion.SetStatus
	// refused says why the forge did not merge this head.
	refused     string
	refusedHead string
}

// firstWait is the first wait for a forge that computes something, or checks that run.
const firstWait = 2 * time.Second

// awaitedChecks is waited for while the checks of a head run.
const awaitedChecks = "its checks"

// soon has a pull request be read again in a while, for something to end. Each wait for that is
// twice the last one, so that a head that changes nothing is asked for a few times besides the
// interval. What is waited for next begins anew: checks that ran long say nothing of how long a
// forge wants to be left alone before it merges.
func (m *pullRequestCache) soon(now time.Time, awaited string) {
	if m.awaited != awaited {
		m.awaited, m.wait = awaited, 0
	}
	m.wait = min(max(2*m.wait, firstWait), 24*time.Hour)
	m.again = now.Add(m.wait)
}

// isFresh reports whether there is no reason to read the pull request again.
func (m *pullRequestCache) isFresh(now time.Time) bool {
	return m.known && !m.stale && (m.again.IsZero() || now.Before(m.again))
}
