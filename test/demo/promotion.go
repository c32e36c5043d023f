// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// promotionStory is about two environments: a good release is proven in staging and goes
// on to production; the users of production do something that those of staging do not, so
// that a bad release fails there, and is taken back in Git.
type promotionStory struct {
	chain *chain.Promotion
}

// quickly is the interval of the analyses, the shortest in which Prometheus scrapes often
// enough to tell.
const quickly = 4 * time.Second

func newPromotionStory(s settings) (story, error) {
	if s.node == "real" {
		return nil, errors.New("the story is for simulated nodes: what is bad about its second release is bad in production alone, " +
			"which podinfo on real nodes has nothing for; use STORY=release with NODE=real")
	}
	return &promotionStory{}, nil
}

func (p *promotionStory) setup(ctx context.Context, on *harness.Playground, dir string) (l deliveryChain, err error) {
	p.chain, err = chain.SetupPromotion(ctx, on, dir, chain.Options{Interval: quickly})
	return p.chain, err
}

func (*promotionStory) flags() []string {
	return []string{"--canary-min-interval", quickly.String()}
}

func (*promotionStory) hasPipeline() bool { return true }

func (*promotionStory) stop() {}

func (*promotionStory) hints() []string { return nil }

func (*promotionStory) releases() []release {
	bad := traffic.Traits{Latency: 40 * time.Millisecond, ErrorRate: 0.3, ErrorNamespace: chain.Production}
	return []release{
		{chain.Release{Tag: "1.1.0", Traits: traffic.Traits{Latency: 25 * time.Millisecond}}, chain.Promoted},
		{chain.Release{Tag: "1.2.0", Traits: bad}, chain.RolledBack},
	}
}

func (*promotionStory) last(e chain.Entry) bool {
	return e.Step == chain.Verified && e.Stage == chain.Production
}

func (*promotionStory) ended(context.Context, release) error { return nil }

// conclusion demands that all of production has the good release again, and that nothing goes
// after the bad one any more.
func (p *promotionStory) conclusion(ctx context.Context) (conclusion, error) {
	bad := p.releases()[1].Tag
	if err := p.chain.Settled(ctx, bad); err != nil {
		return conclusion{}, err
	}
	image, err := p.chain.Running(ctx, chain.Production)
	if err != nil {
		return conclusion{}, err
	}
	described, err := p.sluice(ctx, "pipeline", "describe", chain.App)
	if i := slices.Index(described, "Conditions"); i > 0 {
		described = described[:i-1] // what follows was in the timeline
	}
	return conclusion{
		output: described, where: "Production", image: chain.Short(image),
		rest: fmt.Sprintf(" again, as Git says; %s is in quarantine, and no stage is given it any more.", bad),
	}, err
}

// sluice runs a command, and returns it with what it prints.
func (p *promotionStory) sluice(ctx context.Context, args ...string) ([]string, error) {
	bin, err := harness.Binary()
	if err != nil {
		return nil, err
	}
	args = append(args, "-n", p.chain.Namespace)
	out, err := exec.CommandContext(ctx, bin, append(args, "--kubeconfig", p.chain.Kubeconfig)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("sluice %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return append([]string{"$ sluice " + strings.Join(args, " ")}, strings.Split(strings.TrimRight(string(out), "\n"), "\n")...), nil
}

func (p *promotionStory) commands() []string {
	n := p.chain.Namespace
	return []string{
		"$SLUICE_KUBECTL -n " + n + " get pipeline,imagepolicy,gitrepository,kustomization",
		"$SLUICE_KUBECTL get canary,httproute,deployment -A",
		"bin/sluice explain pipeline " + chain.App + " -n " + n + "   # what each stage has, wants and waits for",
		"bin/sluice canary describe " + chain.App + " -n " + p.chain.In(chain.Production) + "   # why it failed",
		"git -C " + p.chain.Repo.Bare + " log -p " + harness.Branch,
		"git -C " + p.chain.Repo.Bare + " show " + p.chain.StateBranch() + ":state.yaml   # what was decided",
		"go run github.com/google/go-containerregistry/cmd/crane mutate --insecure --label version=1.3.0 \\\n    " +
			p.chain.Image() + ":1.1.0 -t " + p.chain.Image() + ":1.3.0   # push another version",
		p.chain.Prometheus + "/graph   # in a browser: http_request_duration_seconds_count",
	}
}
