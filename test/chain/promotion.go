// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// The stages of a [Promotion], in their order.
const (
	Staging    = "staging"
	Production = "production"
)

// Promotion is a chain that ends in two environments, one after the other.
type Promotion struct {
	*delivery

	// patience is how long anything may take; zero is without end.
	patience time.Duration
	// act is what a person does who looks at the pipeline; nil is nothing.
	act func(context.Context, *sluicev1.Pipeline) error
}

// SetupPromotion is [Setup] for a [Promotion]. Nodes have to be simulated: real ones have
// one gateway, and one address to reach it by.
func SetupPromotion(ctx context.Context, p *harness.Playground, work string, o Options) (*Promotion, error) {
	c, err := newPromotion(p, o)
	if err != nil {
		return nil, err
	}
	return c, c.apply(ctx, o, c.seedUnder(work))
}

func newPromotion(p *harness.Playground, o Options) (*Promotion, error) {
	if p.Node == "real" {
		return nil, errors.New("a promotion has users in two environments, and real nodes have a gateway for one: use simulated nodes")
	}
	d, err := newDelivery(p, "promotion")
	if err != nil {
		return nil, err
	}
	const sample = "shop"
	d.Namespace, d.names = sample, map[string]string{sample: sample, Staging: Staging, Production: Production}
	if o.Namespace != "" {
		d.Namespace = o.Namespace
		d.names = map[string]string{sample: o.Namespace, Staging: o.Namespace + "-" + Staging, Production: o.Namespace + "-" + Production}
	}
	d.apps = []string{d.names[Staging], d.names[Production]}
	return &Promotion{delivery: d, patience: patience}, nil
}

// In is the namespace that a stage is applied to.
func (c *Promotion) In(stage string) string { return c.names[stage] }

// Namespaces are those of the pipeline and of its stages.
func (c *Promotion) Namespaces() []string { return append([]string{c.Namespace}, c.apps...) }

// Release pushes an image. What follows is up to the chain.
func (c *Promotion) Release(ctx context.Context, r Release) error { return c.push(ctx, r) }

// Primary is the Deployment that the users of a stage trust.
func (c *Promotion) Primary(ctx context.Context, stage string) (*appsv1.Deployment, error) {
	return c.primaryIn(ctx, c.In(stage))
}

// Pipeline reads the pipeline.
func (c *Promotion) Pipeline(ctx context.Context) (*sluicev1.Pipeline, error) {
	p := &sluicev1.Pipeline{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App}, p)
	return p, err
}

// Policy reads the policy that chooses what is promoted.
func (c *Promotion) Policy(ctx context.Context) (*imagev1.ImagePolicy, error) {
	p := &imagev1.ImagePolicy{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App}, p)
	return p, err
}

// Written is the image that a stage has in Git.
func (c *Promotion) Written(ctx context.Context, stage string) (string, error) {
	file, err := c.Repo.File(ctx, stage+"/deployment.yaml")
	_, after, _ := strings.Cut(file, "image: ")
	image, _, _ := strings.Cut(after, " ")
	return image, err
}

// StateBranch is where the pipeline keeps what it decides.
func (c *Promotion) StateBranch() string { return "sluice/state/" + c.Namespace + "." + App }

// Follow tells what happens from now on, until ctx ends.
func (c *Promotion) Follow(ctx context.Context) (<-chan Entry, error) {
	n := newTimeline(c.Repo, map[string]string{c.In(Staging): Staging, c.In(Production): Production})
	n.order, n.state = []string{Staging, Production}, c.StateBranch()
	return c.follow(ctx, n, &sluicev1.Pipeline{})
}

// Ready waits until the first version is the primary of both stages, and is known to work
// there.
func (c *Promotion) Ready(ctx context.Context) error {
	if err := c.initialized(ctx); err != nil {
		return err
	}
	return c.until(ctx, "verifying "+First+" in all stages", func(p *sluicev1.Pipeline) bool {
		for _, stage := range []string{Staging, Production} {
			if l := landingIn(p, stage); l == nil || !has(l.Bundle, First) || l.Verdict != verified {
				return false
			}
		}
		return true
	})
}

// verified is the verdict on a landing that is good.
const verified = "Verified"

// Verdict waits until the release of a tag has ended in production, however it did.
func (c *Promotion) Verdict(ctx context.Context, tag string) (Outcome, error) {
	var outcome Outcome
	err := c.until(ctx, "the verdict on "+tag+" in production", func(p *sluicev1.Pipeline) bool {
		l := landingIn(p, Production)
		if l == nil || l.Verdict != verified {
			return false
		}
		switch {
		case has(l.Bundle, tag):
			outcome = Promoted
		case l.Kind == sluicev1.LandingRollback && Quarantine(p, tag) != nil:
			outcome = RolledBack
		}
		return outcome != ""
	})
	return outcome, err
}

// until waits until the pipeline is as it should be.
func (c *Promotion) until(ctx context.Context, what string, ok func(*sluicev1.Pipeline) bool) error {
	_, err := harness.Eventually(ctx, what, c.patience, func(ctx context.Context) (bool, string) {
		p, err := c.Pipeline(ctx)
		if err == nil && c.act != nil {
			err = c.act(ctx, p)
		}
		if err != nil {
			return false, err.Error()
		}
		text := "the pipeline has " + p.Status.Summary
		for _, stage := range p.Status.Stages {
			text += fmt.Sprintf("; %s is %s: %s", stage.Name, stage.Phase, stage.Message)
		}
		for _, condition := range p.Status.Conditions {
			text += fmt.Sprintf("; %s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message)
		}
		return ok(p), text
	})
	return err
}

// landingIn is the last bundle that a stage got, nil if it never got one.
func landingIn(p *sluicev1.Pipeline, stage string) *sluicev1.Landing {
	for _, s := range p.Status.Stages {
		if s.Name == stage && len(s.Landings) > 0 {
			return &s.Landings[0]
		}
	}
	return nil
}

// Quarantine is that of a tag, nil if it is in none.
func Quarantine(p *sluicev1.Pipeline, tag string) *sluicev1.Quarantine {
	for i, q := range p.Status.Quarantined {
		if has(q.Bundle, tag) {
			return &p.Status.Quarantined[i]
		}
	}
	return nil
}

func has(b sluicev1.Bundle, tag string) bool { return len(b.Versions) == 1 && b.Versions[0].Tag == tag }
