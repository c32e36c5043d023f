// Package scan reads registries: the tags of an image, and the digest that a
// tag points to now.
//
//	ImageRepository --NewTarget--> Target   what to list, and what to leave out
//	Secrets -------ReadAccess----> Access   credentials, TLS, proxy
//	Client.Tags(Target, Access) -> Snapshot --Store.Put--> policies
//
// A [Snapshot] is the set of tags at one moment, sorted and packed: about one
// allocation and as many bytes as the tags have, so that a hundred thousand tags
// cost two megabytes. Snapshots live in memory only. They are a cache, rebuilt by
// scanning after a restart.
//
// Each call is bounded by Target.Timeout, and a failed request is retried twice
// within a second at most: a registry that hangs or stumbles must not keep the
// worker that other registries wait for. A registry that answers 429 is asked
// again when it says ([RateLimited]).
package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"k8s.io/utils/clock"
)

// What callers branch on.
var (
	// ErrInvalidReference means that an image is not a repository name.
	ErrInvalidReference = errors.New("invalid image")
	// ErrInvalidExclusion means that an exclusion is not a regular expression.
	ErrInvalidExclusion = errors.New("invalid exclusion list")
	// ErrCredentials means that a Secret or ServiceAccount is missing or unusable.
	ErrCredentials = errors.New("unusable credentials")
	// ErrUnauthorized means that the registry refused the credentials, or
	// anonymous access. Many registries say so of a repository that does not exist.
	ErrUnauthorized = errors.New("registry refused access")
	// ErrNotFound means that the registry has no such repository or tag.
	ErrNotFound = errors.New("not found in registry")
	// ErrTimeout means that the registry did not answer within Target.Timeout.
	ErrTimeout = errors.New("registry did not answer in time")
	// ErrTooManyTags means that a list is longer than anyone can have meant, as
	// that of a registry whose pages go round in a circle.
	ErrTooManyTags = errors.New("too many tags")
)

// maxTags bounds one list.
const maxTags = 1_000_000

// retries bounds what one request may add to the time a worker is held. The
// runner's backoff does the rest.
var retries = remote.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}

// Client asks registries. It is safe for concurrent use.
type Client struct {
	clock   clock.PassiveClock
	metrics *Metrics
	shared  *http.Transport
}

// NewClient returns a client whose connections are shared between calls.
func NewClient(clk clock.PassiveClock, metrics *Metrics) *Client {
	shared := http.DefaultTransport.(*http.Transport).Clone()
	shared.MaxIdleConnsPerHost = 10
	return &Client{clock: clk, metrics: metrics, shared: shared}
}

// Tags lists the tags of target that are not excluded.
func (c *Client) Tags(ctx context.Context, target Target, access Access) (*Snapshot, error) {
	start := c.clock.Now()
	var tags heap
	err := c.ask(ctx, target, access, func(ctx context.Context, puller *remote.Puller) error {
		lister, err := puller.Lister(ctx, target.Repository)
		for err == nil && lister.HasNext() {
			var page *remote.Tags
			if page, err = lister.Next(ctx); err == nil {
				for _, tag := range page.Tags {
					tags.add([]byte(tag))
				}
			}
			if tags.len() > maxTags {
				return fmt.Errorf("%w: more than %d", ErrTooManyTags, maxTags)
			}
		}
		return err
	})
	c.metrics.scanned(target.Repository.RegistryStr(), c.clock.Now().Sub(start))
	if err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", target.Repository, err)
	}
	return newSnapshot(target, newListing(access.id(target), tags.set(nil), c.clock.Now()), nil), nil
}

// ask makes one call with a time limit, and says what its failure means.
func (c *Client) ask(ctx context.Context, target Target, access Access, call func(context.Context, *remote.Puller) error) error {
	limited, cancel := context.WithTimeout(ctx, target.Timeout)
	defer cancel()
	puller, err := remote.NewPuller(c.options(target, access)...)
	if err != nil {
		return err
	}
	err = call(limited, puller)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: waited %s", ErrTimeout, target.Timeout)
	}
	return classify(err)
}

func (c *Client) options(_ Target, access Access) []remote.Option {
	return []remote.Option{
		remote.WithTransport(&counting{next: access.connect(c.shared), clock: c.clock, metrics: c.metrics}),
		remote.WithAuthFromKeychain(access.keychain),
		remote.WithRetryBackoff(retries),
		remote.WithUserAgent("sluice"),
	}
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
