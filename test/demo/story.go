// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

// story is what the demo shows: which chain it sets up, what it releases, and what has
// to be true in the end.
type story interface {
	// setup applies the chain. What it writes goes to the folder dir.
	setup(ctx context.Context, p *harness.Playground, dir string) (deliveryChain, error)
	// flags are those of the controller.
	flags() []string
	// hasPipeline reports whether there is a pipeline.
	hasPipeline() bool
	// hints are printed before the first release: what they can do.
	hints() []string
	releases() []release
	// last reports whether an entry is the last one of a release.
	last(e chain.Entry) bool
	// ended looks at what a release has left behind.
	ended(ctx context.Context, r release) error
	// conclusion is what is true when all is over.
	conclusion(ctx context.Context) (conclusion, error)
	// commands show more.
	commands() []string
	// stop ends what setup started.
	stop()
}

// deliveryChain is a chain as all stories drive it.
type deliveryChain interface {
	Ready(ctx context.Context) error
	Traffic(ctx context.Context) error
	Follow(ctx context.Context) (<-chan chain.Entry, error)
	Image() string
	Release(ctx context.Context, r chain.Release) error
	Verdict(ctx context.Context, tag string) (chain.Outcome, error)
}

// release is a release with its end.
type release struct {
	chain.Release
	want chain.Outcome
}

// conclusion is the last sentence of a story, about an image that runs somewhere.
type conclusion struct {
	// output was printed by commands before it.
	output []string
	// The sentence is `WHERE runs IMAGE, REST`.
	where, image, rest string
}

// settings are those of a run of a story.
type settings struct {
	node string // simulated or real
	keep bool   // somebody looks on, and may take part
}

// stories by name. The value makes one for a setting.
var stories = map[string]func(settings) (story, error){
	"release":      func(settings) (story, error) { return &releaseStory{}, nil },
	"promotion":    newPromotionStory,
	"pull-request": newPullRequestStory,
}

// newStory finds a story.
func newStory(name string, s settings) (story, error) {
	tell, ok := stories[name]
	if !ok {
		return nil, fmt.Errorf("there is no story %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(stories)), ", "))
	}
	return tell(s)
}
