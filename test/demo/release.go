// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// releaseStory is about one environment: a good release is promoted from the canary to
// all users, and a bad one is taken away from the few that met it.
type releaseStory struct {
	chain         *chain.Chain
	before, after *appsv1.Deployment // the primary, before the last release and after it
}

func (r *releaseStory) setup(ctx context.Context, p *harness.Playground, dir string) (l deliveryChain, err error) {
	r.chain, err = chain.Setup(ctx, p, dir, chain.Options{})
	return r.chain, err
}

func (*releaseStory) flags() []string { return nil }

func (*releaseStory) hasPipeline() bool { return false }

func (*releaseStory) stop() {}

func (*releaseStory) hints() []string { return nil }

func (*releaseStory) releases() []release {
	return []release{
		{chain.Release{Tag: "1.1.0", Traits: traffic.Traits{Latency: 25 * time.Millisecond}}, chain.Promoted},
		{chain.Release{Tag: "1.2.0", Traits: traffic.Traits{Latency: 40 * time.Millisecond, ErrorRate: 0.3}}, chain.RolledBack},
	}
}

func (*releaseStory) last(e chain.Entry) bool { return e.Step == chain.Verdict }

func (r *releaseStory) ended(ctx context.Context, _ release) (err error) {
	r.before = r.after
	r.after, err = r.chain.Primary(ctx)
	return err
}

func (r *releaseStory) conclusion(context.Context) (conclusion, error) {
	if r.before.UID != r.after.UID || r.before.Generation != r.after.Generation {
		return conclusion{}, fmt.Errorf("the primary was touched by the bad release: its generation went from %d to %d",
			r.before.Generation, r.after.Generation)
	}
	image := r.after.Spec.Template.Spec.Containers[0].Image
	return conclusion{where: "The primary", image: image, rest: "; the bad release never touched it."}, nil
}

func (r *releaseStory) commands() []string {
	n := r.chain.Namespace
	return []string{
		"$SLUICE_KUBECTL -n " + n + " get canary,httproute,deployment,imagepolicy,kustomization",
		"bin/sluice canary describe " + chain.App + " -n " + n + "   # where the release stands, and why",
		"bin/sluice explain policy " + chain.App + " -n " + n,
		"git -C " + r.chain.Repo.Bare + " log -p",
		"open " + r.chain.Prometheus + "/graph   # http_request_duration_seconds_count",
	}
}
