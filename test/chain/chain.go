// SPDX-License-Identifier: Apache-2.0

// Package chain sets up whole chains on a playground and puts releases through
// them, for the demo, the end-to-end tests and the crash test.
//
// A [Chain] ends in one environment; its manifests are those of config/samples/demo,
// unchanged but for names:
//
//	c, _ := chain.Setup(ctx, playground, work, chain.Options{})
//	go c.Traffic(ctx)                      // users, simulated or real
//	c.Ready(ctx)                           // 1.0.0 is the primary
//	c.Release(ctx, chain.Release{Tag: "1.1.0"})
//	outcome, _ := c.Verdict(ctx, "1.1.0")  // Promoted or RolledBack
//
// A [Promotion] goes from staging to production, by those of config/samples/promotion; with
// [PullRequests] a person merges what goes to production, at a forge that the chain starts.
// [Chain.Follow] and [Promotion.Follow] tell what happens on the way as a stream of
// [Entry]. All of it is read from the Kubernetes API, the registry and Git, where anybody
// can look: nothing here knows the controller from inside, nor even starts it.
package chain

import (
	"cmp"
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// App is the name of everything in a chain, and of the Deployment at its end.
const App = "podinfo"

// First is the version that a chain starts with.
const First = "1.0.0"

// Slow is what the analysis of the samples calls too slow.
const Slow = 500 * time.Millisecond

// Options vary a chain; the zero value is that of the demo.
type Options struct {
	// Namespace is where the objects that deliver live, and the name of the repositories;
	// default is the manifests', which is staging for a [Chain] and shop for a [Promotion].
	Namespace string
	// Interval is that of the analysis; default is the manifest's.
	Interval time.Duration
	// Threshold of the analysis, if a test asks for the outcome alone and not for how soon it comes: a busy
	// machine scrapes late, and a metric without values is a failed check. Default is the manifest's.
	Threshold int
	// Requests are how many users send in a second; default is a hundred.
	Requests int
	// Deadline is how long pods may take to become ready; default is the manifest's.
	Deadline time.Duration
}

// Rules are what Flagger's algorithm depends on in the Canary of the sample.
func (o Options) Rules() traffic.TickRules {
	return traffic.TickRules{Interval: o.Interval, Threshold: cmp.Or(o.Threshold, 2), StepWeight: 20, MaxWeight: 60}
}

// Good is what the analysis of the sample says of a share of failing requests.
func Good(failing float64) bool { return failing <= 0.01 }

// Chain is a chain that is set up.
type Chain struct {
	*delivery

	// judged is the revision that the canary looked at last when a release was
	// pushed: a verdict on it is not one on the release.
	judged string
}

// Release is a version of the app.
type Release struct {
	Tag string
	// Traits are how its pods behave; default is healthy. Real pods know only
	// three kinds: with an error rate of at most one in twenty they fail the requests for /healthz, which
	// are as many; with any larger one a third of their answers are errors, and a third of those are of status 500.
	Traits traffic.Traits
	// Crashes makes real pods end as soon as they start. Simulated ones never do.
	Crashes bool
}

// Setup installs the kinds, makes the Git repository, pushes the first image and
// applies the chain. Its files are kept under the folder work.
func Setup(ctx context.Context, p *harness.Playground, work string, o Options) (*Chain, error) {
	d, err := newDelivery(p, "demo")
	if err != nil {
		return nil, err
	}
	const sample = "staging"
	if d.Namespace = o.Namespace; d.Namespace == "" {
		d.Namespace = sample
	}
	d.names, d.apps = map[string]string{sample: d.Namespace}, []string{d.Namespace}
	d.requests = cmp.Or(o.Requests, d.requests)
	c := &Chain{delivery: d}
	return c, c.apply(ctx, o, c.seedUnder(work))
}

// Release pushes an image. What follows is up to the chain.
func (c *Chain) Release(ctx context.Context, r Release) error {
	canary, err := c.canaryIn(ctx, c.Namespace)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	c.judged = canary.Status.LastAppliedSpec
	return c.push(ctx, r)
}

// Primary is the Deployment that users trust.
func (c *Chain) Primary(ctx context.Context) (*appsv1.Deployment, error) {
	return c.primaryIn(ctx, c.Namespace)
}
