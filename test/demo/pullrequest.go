// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

// pullRequestStory is the [promotionStory] with production by pull request, at a forge that
// it starts. A person merges, there and back: the demo presses the button in their name
// unless everything is kept, so that whoever looks on can do it.
type pullRequestStory struct {
	promotionStory
	at     *chain.PullRequests
	manual bool
}

func newPullRequestStory(s settings) (story, error) {
	base, err := newPromotionStory(s)
	if err != nil {
		return nil, err
	}
	return &pullRequestStory{promotionStory: *base.(*promotionStory), manual: s.keep}, nil
}

func (p *pullRequestStory) setup(ctx context.Context, on *harness.Playground, dir string) (l deliveryChain, err error) {
	merging := chain.ByProgram
	if p.manual {
		merging = chain.ByHand
	}
	p.at, err = chain.SetupPullRequests(ctx, on, dir, chain.Options{Interval: quickly}, merging)
	if err != nil {
		return nil, err
	}
	p.chain = p.at.Promotion
	return p.at, nil
}

func (p *pullRequestStory) flags() []string {
	return append(p.promotionStory.flags(), "--receiverAddr", p.at.Webhooks)
}

func (p *pullRequestStory) stop() { p.at.Close() }

func (p *pullRequestStory) hints() []string {
	if !p.manual {
		return nil
	}
	return append([]string{"Nothing goes to production, or back, unless you merge it:"}, p.pages()...)
}

func (p *pullRequestStory) pages() []string {
	return []string{fmt.Sprintf("%s/acme/shop/pulls   # in a browser: sign in as %s with the password %s",
		p.at.Forge.URL, p.at.Person.Name, p.at.Person.Password)}
}

func (p *pullRequestStory) commands() []string {
	return append(p.pages(), p.promotionStory.commands()...)
}
