// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// How long what was found out about a registry is used again.
const (
	// pingLife is that of the answer to GET /v2/, which says how to authenticate.
	pingLife = time.Hour
	// sessionLife is that of a token whose registry does not say.
	sessionLife = 5 * time.Minute
	// expiryMargin keeps a token from expiring on the way.
	expiryMargin = 10 * time.Second
	// maxSessionLife is the longest, whatever a registry says.
	maxSessionLife = time.Hour
	// idleLife is that of connections that nobody uses, and of a route that nobody takes.
	idleLife = 15 * time.Minute
)

// sessions keep the ways to registries, so that a scan is one request and not
// three: the connections, the answer to the ping, and the token.
type sessions struct {
	mu     sync.Mutex
	routes map[string]*route
	open   map[ID]*session
	// swept is when the sessions that are over were last dropped.
	swept time.Time
}

// session is an authenticated transport for one image and credential.
type session struct {
	transport http.RoundTripper
	until     time.Time
}

// route is a set of connections with one TLS configuration and one proxy.
type route struct {
	base   http.RoundTripper
	shared *http.Transport
	used   time.Time

	mu    sync.Mutex
	pings map[string]ping
}

type ping struct {
	*transport.Challenge
	until time.Time
}

// route returns the connections for access.
func (c *Client) route(access Access) *route {
	now := c.clock.Now()
	s := &c.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.routes[access.route]
	if !ok {
		r = c.newRoute(access)
		if s.routes == nil {
			s.routes = map[string]*route{}
		}
		s.routes[access.route] = r
		maps.DeleteFunc(s.routes, func(_ string, other *route) bool {
			idle := other != r && now.Sub(other.used) > idleLife
			if idle {
				other.shared.CloseIdleConnections()
			}
			return idle
		})
	}
	r.used = now
	return r
}

func (c *Client) newRoute(access Access) *route {
	shared := c.guard.TransportVia(access.tls, access.proxy)
	// Between two looks at an interval a connection stays, as long as the registry keeps it.
	shared.MaxIdleConnsPerHost, shared.IdleConnTimeout = namespaceSlots, idleLife
	limited := &limiter{next: shared, route: access.route, clock: c.clock, hosts: &c.hosts, metrics: c.metrics}
	gated := &filter{next: outbound.Bound(limited, manifests)}
	base := transport.NewRetry(gated, transport.WithRetryBackoff(retries), transport.WithRetryStatusCodes(
		http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	return &route{base: transport.NewUserAgent(base, "sluice"), shared: shared, pings: map[string]ping{}}
}

// ping asks how a registry wants to be asked, unless that is known.
func (r *route) ping(ctx context.Context, registry name.Registry, now time.Time) (*transport.Challenge, error) {
	key := registry.Scheme() + "://" + registry.RegistryStr()
	r.mu.Lock()
	known, ok := r.pings[key]
	r.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.Challenge, nil
	}
	attempts := attempts{next: r.base}
	challenge, err := transport.Ping(ctx, registry, &attempts)
	if err != nil {
		return nil, attempts.explain(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.pings, func(_ string, other ping) bool { return !now.Before(other.until) })
	r.pings[key] = ping{challenge, now.Add(pingLife)}
	return challenge, nil
}

// attempts remembers why requests failed. A registry that may speak http is asked over
// https and over http, and mostly fails both for one reason.
type attempts struct {
	next http.RoundTripper

	mu     sync.Mutex
	failed []error
}

// RoundTrip implements http.RoundTripper.
func (t *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.failed = append(t.failed, err)
	}
	return resp, err
}

// explain is an error of all attempts together, with a reason that they share told once.
func (t *attempts) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failed) != 2 || t.failed[0].Error() != t.failed[1].Error() {
		return err
	}
	return fmt.Errorf("over https and http: %w", t.failed[0])
}

// session returns a transport with which an image can be read, and written if it asks for that.
func (c *Client) session(ctx context.Context, image Image) (http.RoundTripper, error) {
	id, now := image.ID(), c.clock.Now()
	s := &c.sessions
	s.mu.Lock()
	known, ok := s.open[id]
	s.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.transport, nil
	}
	fresh, err := c.login(ctx, image)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[ID]*session{}
	}
	if now.Sub(s.swept) > sessionLife { // each time would cost the square of their number
		maps.DeleteFunc(s.open, func(_ ID, other *session) bool { return !now.Before(other.until) })
		s.swept = now
	}
	s.open[id] = fresh
	return fresh.transport, nil
}

// login does what the registry's challenge asks for: nothing, a password with
// each request, or a token that a server gives for it.
func (c *Client) login(ctx context.Context, image Image) (*session, error) {
	registry, access, now := image.Repository.Registry, image.Access, c.clock.Now()
	route := c.route(access)
	challenge, err := route.ping(ctx, registry, now)
	if err != nil {
		return nil, err
	}
	auth, err := access.Resolve(image.Repository)
	if err != nil {
		return nil, err
	}
	base := &withScheme{next: access.bind(route.base), host: registry.RegistryStr(), scheme: "https"}
	if challenge.Insecure {
		if access.cloud != nil { // whose token would be read on the way
			return nil, fmt.Errorf("%w: %s does not speak https", identity.ErrRefused, registry)
		}
		base.scheme = "http"
	}
	life, token := pingLife, &transport.Token{}
	if strings.EqualFold(challenge.Scheme, "bearer") {
		if token, err = exchange(ctx, image, auth, base, challenge); err != nil {
			return nil, err
		}
		life = sessionLife
		if token.ExpiresIn > 0 {
			life = time.Duration(min(token.ExpiresIn, int(maxSessionLife/time.Second)))*time.Second - expiryMargin
		}
	}
	authenticated, err := transport.FromToken(registry, auth, base, challenge, token)
	if err != nil {
		return nil, err
	}
	return &session{transport: authenticated, until: now.Add(life)}, nil
}

func exchange(
	ctx context.Context, image Image, auth authn.Authenticator, base http.RoundTripper, challenge *transport.Challenge,
) (*transport.Token, error) {
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, err
	}
	if config.RegistryToken != "" {
		return &transport.Token{Token: config.RegistryToken}, nil
	}
	scopes := []string{image.Repository.Scope(image.scope())}
	token, err := transport.Exchange(ctx, image.Repository.Registry, auth, base, scopes, challenge)
	if err != nil {
		return nil, err
	}
	token.Token = cmp.Or(token.AccessToken, token.Token) // both names are in use
	return token, nil
}

// logout forgets a session, and how to get one, after a refusal.
func (c *Client) logout(image Image) {
	route := c.route(image.Access)
	route.mu.Lock()
	delete(route.pings, image.Repository.Scheme()+"://"+image.Repository.RegistryStr())
	route.mu.Unlock()
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	delete(c.sessions.open, image.ID())
}

// withScheme asks the registry over the scheme that it answered the ping on.
type withScheme struct {
	next         http.RoundTripper
	host, scheme string
}

// RoundTrip implements http.RoundTripper.
func (t *withScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == t.host && req.URL.Scheme != t.scheme {
		to := *req
		to.URL = &url.URL{}
		*to.URL = *req.URL
		to.URL.Scheme = t.scheme
		req = &to
	}
	return t.next.RoundTrip(req)
}

// Remote returns the options with which go-containerregistry reaches the registry
// of an image as this client does: credentials, TLS, proxy, limits and metrics. The
// caller adds its context, whose deadline bounds the call.
func (c *Client) Remote(image Image) []remote.Option {
	return []remote.Option{
		remote.WithTransport(withCaller{image.Access.bind(c.route(image.Access).base), image.caller()}),
		remote.WithAuthFromKeychain(image.Access),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // the transport retries
	}
}

// withCaller says of each request whose it is.
type withCaller struct {
	next http.RoundTripper
	who  caller
}

// RoundTrip implements http.RoundTripper.
func (t withCaller) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(req.WithContext(t.who.withCaller(req.Context())))
}
