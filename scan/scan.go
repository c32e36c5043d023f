// Package scan reads registries: the tags of an image, the digest that a tag
// points to now, and what that can run on.
//
//	ImageRepository --NewTarget--> Target   what to list, and what to leave out
//	Secrets ----Client.Access----> Access   credentials, TLS, proxy
//
//	Scanner.Scan(Target, Access)   one flight per image and credential
//	     |                         host: slots, token bucket, Retry-After
//	     v                         list: pages, ETag, budget
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
// No worker waits for a registry. A scan that takes longer than a moment goes on
// by itself and tells when it is done, so that a registry that hangs holds up
// nobody but itself. A failed request is retried twice within a second at most; a
// registry that answers 429 is asked again when it says ([RateLimited]).
package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// What callers branch on.
var (
	// ErrInvalidReference means that an image is not a repository name.
	ErrInvalidReference = errors.New("invalid image")
	// ErrInvalidExclusion means that an exclusion is not a regular expression.
	ErrInvalidExclusion = errors.New("invalid exclusion list")
	// ErrCredentials means that a Secret or ServiceAccount is missing or unusable,
	// or that the cloud gives no credentials for it.
	ErrCredentials = errors.New("unusable credentials")
	// ErrFeatureGate means that the spec needs a feature gate that is off.
	ErrFeatureGate = errors.New("feature gate is off")
	// ErrUnauthorized means that the registry refused the credentials, or
	// anonymous access. Many registries say so of a repository that does not exist.
	ErrUnauthorized = errors.New("registry refused access")
	// ErrNotFound means that the registry has no such repository or tag.
	ErrNotFound = errors.New("not found in registry")
	// ErrTimeout means that the registry did not answer within Target.Timeout.
	ErrTimeout = errors.New("registry did not answer in time")
	// ErrBudget means that a list is longer than a scan may read. Nothing of it is
	// used.
	ErrBudget = errors.New("scan budget exceeded")
	// ErrMemory means that the tags of a namespace, or of all, take more memory than
	// they may. Nothing of the list is used.
	ErrMemory = errors.New("too much memory for tags")
)

// DefaultMaxTags is the most tags of one scan when nothing else is said.
const DefaultMaxTags = 250_000

// retries bounds what one request may add to the time of a scan. The runner's
// backoff does the rest.
var retries = remote.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}

// Client asks registries. It is safe for concurrent use.
type Client struct {
	clock    clock.PassiveClock
	metrics  *Metrics
	maxTags  int
	identity *Identity
	guard    *outbound.Guard
	memory   *budget.Budget

	hosts    hosts
	sessions sessions
	heaps    sync.Pool
}

// ClientOption changes what [NewClient] makes.
type ClientOption func(*Client)

// WithMaxTags sets the most tags of a scan whose ImageRepository does not say.
func WithMaxTags(n int) ClientOption { return func(c *Client) { c.maxTags = n } }

// WithGuard keeps the client from connecting where objects may not lead to.
func WithGuard(guard *outbound.Guard) ClientOption {
	return func(c *Client) { c.guard = guard }
}

// WithMemory has long lists wait until there is memory to read them.
func WithMemory(memory *budget.Budget) ClientOption {
	return func(c *Client) { c.memory = memory }
}

// NewClient returns a client that shares connections and tokens between calls.
func NewClient(clk clock.PassiveClock, metrics *Metrics, options ...ClientOption) *Client {
	c := &Client{clock: clk, metrics: metrics, maxTags: DefaultMaxTags}
	c.heaps.New = func() any { return new(heap) }
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
func (c *Client) Tags(ctx context.Context, target Target, access Access) (*Snapshot, error) {
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
func (c *Client) list(ctx context.Context, target Target, access Access, opts listOptions) (*listing, error) {
	start, name := c.clock.Now(), target.Repository.RegistryStr()
	fresh, outcome, err := c.listOnce(ctx, target, access, opts)
	c.metrics.scanned(name, outcome, c.clock.Now().Sub(start))
	if err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", target.Repository, err)
	}
	fresh.at = c.clock.Now()
	return fresh, nil
}

func (c *Client) listOnce(ctx context.Context, target Target, access Access, opts listOptions) (*listing, string, error) {
	tags := c.heaps.Get().(*heap)
	defer c.heaps.Put(tags)
	tags.reset()
	var pages []page
	var same bool
	memory := &reading{from: c.memory, namespace: access.namespace}
	defer memory.release()
	err := c.ask(ctx, target, access, func(ctx context.Context, session http.RoundTripper) (err error) {
		l := lister{client: &http.Client{Transport: session}, host: c.host(target, access), target: target, budget: opts.budget, memory: memory}
		pages, same, err = l.list(ctx, opts.last, tags)
		return err
	})
	switch {
	case err != nil:
		return nil, outcomeFailed, err
	case same:
		return opts.last.confirmed(opts.last.at), outcomeNotModified, nil
	case opts.last == nil:
		fresh := newListing(access.id(target), tags.set(nil), c.clock.Now())
		fresh.pages = pages
		return fresh, outcomeListed, nil
	}
	set := tags.set(opts.last.tags)
	if set == opts.last.tags {
		again := opts.last.confirmed(opts.last.at)
		again.pages = pages
		return again, outcomeUnchanged, nil
	}
	fresh := newListing(access.id(target), set, c.clock.Now())
	fresh.pages = pages
	return fresh, outcomeListed, nil
}

// host is what is known of the registry of target over the route of access.
func (c *Client) host(target Target, access Access) *host {
	return c.hosts.of(endpoint{target.Repository.RegistryStr(), access.route}, c.clock.Now())
}

// ask makes one call with a time limit, and says what its failure means.
func (c *Client) ask(ctx context.Context, target Target, access Access, call func(context.Context, http.RoundTripper) error) error {
	limited, cancel := context.WithTimeout(access.caller(target).into(ctx), target.Timeout)
	defer cancel()
	session, err := c.session(limited, target, access)
	if err == nil {
		err = call(limited, session)
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: waited %s", ErrTimeout, target.Timeout)
	}
	if err = classify(err); errors.Is(err, ErrUnauthorized) {
		c.logout(target, access)
	}
	return err
}

// pull is ask for what go-containerregistry does.
func (c *Client) pull(ctx context.Context, target Target, access Access, call func(context.Context, *remote.Puller) error) error {
	return c.ask(ctx, target, access, func(ctx context.Context, session http.RoundTripper) error {
		puller, err := remote.NewPuller(remote.WithTransport(session))
		if err != nil {
			return err
		}
		return call(ctx, puller)
	})
}

// classify adds the sentinel of a registry's refusal.
func classify(err error) error {
	var refused *transport.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
