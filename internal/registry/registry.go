// SPDX-License-Identifier: Apache-2.0

// Package registry is how container registries are asked: with which credentials, over
// which connections, and how often.
//
//	Secrets, ServiceAccount, cloud --Client.Access--> Access
//	Image{Repository, Access} --Client.Call--> session --> request
//	                            |               token, kept while it lives
//	                            |               route: connections with a TLS configuration and a proxy
//	                            '-> Host: slots, token bucket by namespace, Retry-After, quota
//
// What one namespace uses up is no reason to keep another waiting: requests of a
// namespace have half of a host's rate, scans a quarter of its slots, and a pause that
// the registry asks for concerns the credential that it was told to. A failed request is
// retried twice within a second at most; a registry that answers 429 is asked again when
// it says ([RateLimited]).
//
// A registry, and whatever it redirects to, may be anybody's: answers are bounded, of
// refusals only errors as the distribution specification defines them are let through,
// credentials of a cloud go to its own hosts only, and redirects lead to the same kind
// of thing.
//
// [Client.Copy] and [Client.Tag] are all that is written, of images that ask for it.
//
// Everything that is remembered here (sessions, routes, hosts) is found out anew after a
// restart. go-containerregistry reads manifests, and does the exchange of tokens. Its Puller keeps a
// token as well, but for as long as somebody holds it, and without limits; sessions that several
// objects share and that end when they are idle, and the rules of the kubelet for pull secrets are
// ours. What that saves is in docs/benchmarks.md, beside source-controller:
//
//	hack/with-playground.sh go run ./test/bench -only oci
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// What callers branch on.
var (
	// ErrInvalidReference means that an image is not a repository name.
	ErrInvalidReference = errors.New("invalid image")
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
	// ErrTimeout means that the registry did not answer within Image.Timeout.
	ErrTimeout = errors.New("registry did not answer in time")
	// ErrBudget means that an answer is longer than may be read. Nothing of it is used.
	ErrBudget = errors.New("scan budget exceeded")
)

// retries bounds what one request may add to the time of a call. The caller's backoff
// does the rest.
var retries = remote.Backoff{Duration: 200 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}

// Client asks registries. It shares connections and tokens between calls, and is safe
// for concurrent use. It is the prometheus.Collector of its metrics.
type Client struct {
	clock    clock.PassiveClock
	metrics  *hostMetrics
	identity *CloudIdentity
	guard    *outbound.Guard
	tagged   func(tag string)

	hosts    hosts
	sessions sessions
}

// Option changes what [NewClient] makes.
type Option func(*Client)

// WithGuard keeps the client from connecting where objects may not lead to.
func WithGuard(guard *outbound.Guard) Option {
	return func(c *Client) { c.guard = guard }
}

// WithTagged calls tagged when [Client.Tag] has moved a tag, with its canonical name.
func WithTagged(tagged func(tag string)) Option {
	return func(c *Client) { c.tagged = tagged }
}

// NewClient returns a client that nothing was asked of yet.
func NewClient(clk clock.PassiveClock, options ...Option) *Client {
	c := &Client{clock: clk, metrics: newMetrics()}
	for _, option := range options {
		option(c)
	}
	return c
}

// Image is a repository of a registry as one object reads it.
type Image struct {
	Repository name.Repository
	Access     Access
	// Timeout bounds one call.
	Timeout time.Duration
	// Write asks for the right to write, too.
	Write bool
}

// ID names an image as one identity sees it: whoever has the same credentials for the
// image may share what was read of it.
type ID struct {
	// Image is the canonical name. A registry that is reached through a certificate
	// authority or a proxy of the object's own may be another one of the same name, and
	// so is told apart.
	Image string
	// Access is a digest of the credentials.
	Access string
}

// ID says what a session or a list is of.
func (i Image) ID() ID {
	image := i.Repository.String()
	if i.Access.route != "" {
		image += "#" + i.Access.route
	}
	return ID{Image: image, Access: digest(image, i.Repository.Scheme(), i.Access.secret(i.Repository), i.scope())}
}

// scope is what a token is asked for.
func (i Image) scope() string {
	if i.Write {
		return transport.PushScope
	}
	return transport.PullScope
}

// caller says whose requests those for the image are.
func (i Image) caller() caller {
	who := caller{namespace: i.Access.namespace, registry: i.Repository.RegistryStr()}
	if secret := i.Access.secret(i.Repository); secret != "" {
		who.credential = digest(who.registry, secret)
	}
	return who
}

// ParseRepository reads the spec.image of an object, which names a repository and
// nothing else. Its errors are [ErrInvalidReference].
func ParseRepository(image string, scheme ...name.Option) (name.Repository, error) {
	if prefix, _, ok := strings.Cut(image, "://"); ok {
		return name.Repository{}, fmt.Errorf("%w: spec.image %q should not include a URL scheme; remove '%s://'",
			ErrInvalidReference, image, prefix)
	}
	return parseRepository("spec.image", image, scheme)
}

// urlScheme is that of the spec.url of an OCIRepository.
const urlScheme = "oci://"

// ParseURL reads the spec.url of an object, which is oci:// with a repository and nothing
// else. Its errors are [ErrInvalidReference].
func ParseURL(address string, scheme ...name.Option) (name.Repository, error) {
	image, ok := strings.CutPrefix(address, urlScheme)
	if !ok {
		return name.Repository{}, fmt.Errorf("%w: spec.url %q must begin with %s", ErrInvalidReference, address, urlScheme)
	}
	return parseRepository("spec.url", image, scheme)
}

func parseRepository(field, image string, scheme []name.Option) (name.Repository, error) {
	path := image[strings.LastIndex(image, "/")+1:]
	if at := strings.IndexAny(path, ":@"); at >= 0 {
		return name.Repository{}, fmt.Errorf("%w: %s %q should not include a tag or a digest; remove '%s'",
			ErrInvalidReference, field, image, path[at:])
	}
	repository, err := name.NewRepository(image, scheme...)
	if err != nil {
		return name.Repository{}, fmt.Errorf("%w: %s: %w", ErrInvalidReference, field, err)
	}
	return repository, nil
}

// CheckAddress returns an [ErrInvalidReference] if the repository in a field of an object
// names its registry by an address that objects may not lead to. What a name resolves to
// is checked when it is dialed.
func (c *Client) CheckAddress(field string, repository name.Repository) error {
	if err := c.guard.CheckURL(&url.URL{Host: repository.RegistryStr()}); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalidReference, field, err)
	}
	return nil
}

// Host is what is known of the registry of an image over its route.
func (c *Client) Host(image Image) *Host {
	return c.hosts.get(endpoint{image.Repository.RegistryStr(), image.Access.route}, c.clock.Now())
}

// Limited says how long the registry of an image asked to be left alone, as a
// [RateLimited], or nil.
func (c *Client) Limited(image Image) error {
	return c.Host(image).limited(c.clock.Now(), image.caller())
}

// Call makes one call with a time limit, over a transport that is authenticated, and
// says what its failure means.
func (c *Client) Call(ctx context.Context, image Image, call func(context.Context, http.RoundTripper) error) error {
	limited, cancel := context.WithTimeout(image.caller().withCaller(ctx), image.Timeout)
	defer cancel()
	session, err := c.session(limited, image)
	if err == nil {
		err = call(limited, session)
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: waited %s", ErrTimeout, image.Timeout)
	}
	if err = classify(err); errors.Is(err, ErrUnauthorized) {
		c.logout(image)
	}
	return err
}

// pull is [Client.Call] for what go-containerregistry does.
func (c *Client) pull(ctx context.Context, image Image, call func(context.Context, *remote.Puller) error) error {
	return c.Call(ctx, image, func(ctx context.Context, session http.RoundTripper) error {
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
