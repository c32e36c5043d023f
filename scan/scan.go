// SPDX-License-Identifier: Apache-2.0

// Package scan lists the tags of images, and remembers when each was first seen.
//
//	ImageRepository --NewTarget----> Target           what to list, and what to leave out
//	ImageRepository --RegistrySpec-> registry.Access  credentials, TLS, proxy
//
//	Scanner.Scan(Target, Access)   one listCall per image and credential
//	     |                         list: pages, ETag, budget
//	     v
//	  listing --exclusions--> Snapshot --Store.Put--> policies
//	     |
//	     +--> disk: tags and when they were first seen
//
// A listing is all tags of an image as one credential sees them, sorted and
// packed: two allocations and as many bytes as the tags have, so that a hundred
// thousand tags cost two megabytes. All ImageRepositories of that image and
// credential share it; a [Snapshot] adds one bit a tag for what is excluded. A
// [Store] keeps both across restarts. They are a cache: what is lost is scanned
// again.
//
// No worker waits for a registry. A scan that takes longer than a moment goes on in
// the background and wakes its objects when it is done, so that a registry that hangs
// holds up nobody but itself. How registries are asked is in internal/registry.
//
// A page of tags that looks as nearly all do is read by hand, and every other by encoding/json:
// docs/adr/0010-own-reading-of-tags.md.
//
//	go test -run xxx -bench 'Tags|Scans' ./scan
//
// The file of a listing (codec.go) is our own. encoding/gob takes 3.4 times as long to write
// and read 100,000 tags, allocates for each of them, 100,000 times instead of 76, and its file
// is half as large again; with zstd it is half as large, and takes as long as without:
//
//	go test -run xxx -bench Format ./scan
package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/registry"
)

// What callers branch on.
var (
	// ErrInvalidExclusion means that an exclusion is not a regular expression.
	ErrInvalidExclusion = errors.New("invalid exclusion list")
	// ErrBudget means that a list is longer than a scan may read. Nothing of it is
	// used.
	ErrBudget = registry.ErrBudget
	// ErrMemory means that the tags of a namespace, or of all, take more memory than
	// they may. Nothing of the list is used.
	ErrMemory = errors.New("too much memory for tags")
)

// DefaultMaxTags is the most tags of one scan when nothing else is said.
const DefaultMaxTags = 250_000

// Client lists tags. It is safe for concurrent use, and the prometheus.Collector of its
// metrics.
type Client struct {
	registry   *registry.Client
	clock      clock.PassiveClock
	metrics    *scanMetrics
	maxTags    int
	memory     *budget.Budget
	tagBuffers sync.Pool
}

// ClientOption changes what [NewClient] makes.
type ClientOption func(*Client)

// WithMaxTags sets the most tags of a scan whose ImageRepository does not say.
func WithMaxTags(n int) ClientOption { return func(c *Client) { c.maxTags = n } }

// WithMemory has long lists wait until there is memory to read them.
func WithMemory(memory *budget.Budget) ClientOption {
	return func(c *Client) { c.memory = memory }
}

// NewClient returns a client that asks over a client of registries.
func NewClient(asking *registry.Client, clk clock.PassiveClock, options ...ClientOption) *Client {
	c := &Client{registry: asking, clock: clk, metrics: newMetrics(), maxTags: DefaultMaxTags}
	c.tagBuffers.New = func() any { return new(tagBuffer) }
	for _, option := range options {
		option(c)
	}
	return c
}

// MaxTags is the most tags that a scan of target may list.
func (c *Client) MaxTags(target Target) int {
	if target.maxTags > 0 {
		return target.maxTags
	}
	return c.maxTags
}

// Tags lists the tags of target that are not excluded, now and for the caller
// alone. [Scanner.Scan] does so for everybody.
func (c *Client) Tags(ctx context.Context, target Target, access registry.Access) (*Snapshot, error) {
	list, err := c.list(ctx, target, access, listOptions{budget: func() int { return c.MaxTags(target) }})
	if err != nil {
		return nil, err
	}
	return newSnapshot(target, list, nil), nil
}

// within refuses a listing that is longer than target wants, which another object
// with a larger budget may have asked for.
func (c *Client) within(target Target, list *listing) error {
	if most := c.MaxTags(target); list.tags.len() > most {
		return fmt.Errorf("listing tags of %s: %w: %d tags, more than %d", target.Repository, ErrBudget, list.tags.len(), most)
	}
	return nil
}

type listOptions struct {
	last   *listing // nil when there is none
	budget func() int
}

// list makes a listing. When nothing changed its tags are those of the last one.
func (c *Client) list(ctx context.Context, target Target, access registry.Access, opts listOptions) (*listing, error) {
	start := c.clock.Now()
	fresh, outcome, err := c.listOnce(ctx, target, access, opts)
	c.count(target, outcome)
	c.metrics.seconds.WithLabelValues(c.registry.HostLabel(target.Repository.RegistryStr())).Observe(c.clock.Now().Sub(start).Seconds())
	if err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", target.Repository, err)
	}
	fresh.asked, fresh.at = start, c.clock.Now()
	return fresh, nil
}

// count counts a scan.
func (c *Client) count(target Target, outcome string) {
	c.metrics.scans.WithLabelValues(c.registry.HostLabel(target.Repository.RegistryStr()), outcome).Inc()
}

func (c *Client) listOnce(ctx context.Context, target Target, access registry.Access, opts listOptions) (*listing, string, error) {
	tags := c.tagBuffers.Get().(*tagBuffer)
	defer c.tagBuffers.Put(tags)
	tags.reset()
	var pages []page
	var same bool
	memory := &pageMemory{from: c.memory, namespace: access.Namespace()}
	image := target.Image(access)
	defer memory.release()
	err := c.registry.Call(ctx, image, func(ctx context.Context, session http.RoundTripper) (err error) {
		client := outbound.NewClient(session, outbound.Rules{Redirects: registry.Redirects})
		l := lister{client: client, host: c.registry.Host(image), target: target, budget: opts.budget, memory: memory}
		pages, same, err = l.list(ctx, opts.last, tags)
		return err
	})
	switch {
	case err != nil:
		return nil, outcomeFailed, err
	case same:
		return opts.last.unchangedAt(opts.last.at), outcomeNotModified, nil
	case opts.last == nil:
		fresh := newListing(image.ID(), tags.set(nil), c.clock.Now())
		fresh.pages = pages
		return fresh, outcomeListed, nil
	}
	set := tags.set(opts.last.tags)
	if set == opts.last.tags {
		again := opts.last.unchangedAt(opts.last.at)
		again.pages = pages
		return again, outcomeUnchanged, nil
	}
	fresh := newListing(image.ID(), set, c.clock.Now())
	fresh.pages = pages
	return fresh, outcomeListed, nil
}
