package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/utils/clock"
)

// Bounds of what issuers may cost.
const (
	issuerTimeout = 10 * time.Second
	maxIssuerBody = 1 << 20 // bytes
	maxIssuers    = 1000
	// issuerAge is how long what an issuer says of itself is used. Its keys are
	// renewed sooner, when a token is signed by one that is not known.
	issuerAge = time.Hour
)

// issuers keeps what issuers of tokens say of themselves, and their keys.
type issuers struct {
	clock  clock.PassiveClock
	client *http.Client

	mu    sync.Mutex
	known map[string]provider
}

type provider struct {
	*oidc.Provider
	at time.Time
}

func newIssuers(c clock.PassiveClock) *issuers {
	return &issuers{
		clock: c, known: map[string]provider{},
		client: &http.Client{Timeout: issuerTimeout, Transport: bounded{http.DefaultTransport}},
	}
}

// claims verifies signature, expiry, issuer and audience.
func (s *issuers) claims(ctx context.Context, issuer, audience, raw string) (map[string]any, error) {
	provider, err := s.provider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("the keys of issuer %s cannot be read", issuer)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: audience, Now: s.clock.Now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the token is not valid: %w", err)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, errors.New("the claims of the token cannot be read")
	}
	return claims, nil
}

// provider asks the issuer, unless that was done lately. One that does not answer
// is still known by what it said before.
func (s *issuers) provider(ctx context.Context, url string) (*oidc.Provider, error) {
	s.mu.Lock()
	last, found := s.known[url]
	s.mu.Unlock()
	now := s.clock.Now()
	if found && now.Sub(last.at) < issuerAge {
		return last.Provider, nil
	}
	fresh, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), url)
	switch {
	case err != nil && found:
		return last.Provider, nil
	case err != nil:
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxIssuers {
		clear(s.known)
	}
	s.known[url] = provider{fresh, now}
	return fresh, nil
}

// bounded is a transport whose answers end.
type bounded struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxIssuerBody), resp.Body}
	return resp, nil
}
