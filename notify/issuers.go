// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/net/publicsuffix"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Bounds of what issuers may cost.
const (
	issuerTimeout = 10 * time.Second
	maxIssuerBody = 1 << 20 // bytes
	maxIssuers    = 1000
	// issuerAge is how long a discovery document is used. Keys are fetched again sooner,
	// when a token is signed by an unknown one.
	issuerAge = time.Hour
)

// issuers keeps the discovery documents and the keys of the issuers of tokens. Receivers
// name the issuers and anybody can send a token, so errors repeat nothing of what such a
// server answers: it may be any server that the controller can reach.
type issuers struct {
	clock  clock.PassiveClock
	client *http.Client
	known  *lru.Cache[string, provider] // by the URL of the issuer
}

type provider struct {
	*oidc.Provider
	loadedAt time.Time
}

func newIssuers(c clock.PassiveClock, transport http.RoundTripper) *issuers {
	return &issuers{
		clock: c, known: lru.NewCounted[string, provider](maxIssuers),
		client: outbound.NewClient(usableKeys{outbound.Bound(transport, outbound.Limits{Bytes: maxIssuerBody})},
			outbound.Rules{Redirects: outbound.Within(withinSite), Timeout: issuerTimeout}),
	}
}

// withinSite lets redirects lead where the keys of an issuer may be.
func withinSite(first, to *http.Request) error {
	if !keysMayBeAt(first.URL, to.URL) {
		return fmt.Errorf("%w to another site", outbound.ErrRedirect)
	}
	return nil
}

// keyHosts are where issuers that have their keys at another site have them.
var keyHosts = map[string]string{
	"accounts.google.com":    "www.googleapis.com",
	"securetoken.google.com": "www.googleapis.com",
	"sts.windows.net":        "login.microsoftonline.com",
}

// keysMayBeAt reports whether the keys of an issuer may be read from an address: over
// https, from the issuer's own host, another one of its registered domain, or where
// that issuer is known to have them. What an issuer says of itself must not lead the
// controller to servers that the issuer's owner cannot reach.
func keysMayBeAt(issuer, keys *url.URL) bool {
	if keys.Scheme != "https" || keys.User != nil {
		return false
	}
	from, to := strings.ToLower(issuer.Hostname()), strings.ToLower(keys.Hostname())
	if from == to {
		return issuer.Port() == keys.Port()
	}
	if keyHosts[from] == to {
		return true
	}
	suffix, listed := publicsuffix.PublicSuffix(from)
	site, err := publicsuffix.EffectiveTLDPlusOne(from)
	if err != nil || !listed && !strings.Contains(suffix, ".") { // names of a cluster, addresses
		return false
	}
	other, err := publicsuffix.EffectiveTLDPlusOne(to)
	return err == nil && site == other
}

// claims verifies signature, expiry, issuer and audience.
func (s *issuers) claims(ctx context.Context, issuer, audience, raw string) (map[string]any, error) {
	provider, err := s.provider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("the keys of issuer %s cannot be read", issuer)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: audience, Now: s.clock.Now}).Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return nil, errors.New("the token has expired")
	case err != nil:
		// The library's error has the answer of the server that should have the keys.
		return nil, fmt.Errorf("the token is not one of issuer %s for audience %s, or the keys of the issuer cannot be read", issuer, audience)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, errors.New("the claims of the token cannot be read")
	}
	return claims, nil
}

// provider returns the discovery document of an issuer, from the cache for issuerAge. If
// the issuer does not answer, an older document is used.
func (s *issuers) provider(ctx context.Context, issuer string) (*oidc.Provider, error) {
	last, found := s.known.Get(issuer)
	now := s.clock.Now()
	if found && now.Sub(last.loadedAt) < issuerAge {
		return last.Provider, nil
	}
	fresh, err := s.discover(ctx, issuer)
	switch {
	case err != nil && found:
		return last.Provider, nil
	case err != nil:
		return nil, err
	}
	s.known.Put(issuer, provider{fresh, now})
	return fresh, nil
}

// discover fetches the discovery document of an issuer, and checks where its keys are.
func (s *issuers) discover(ctx context.Context, issuer string) (*oidc.Provider, error) {
	at, err := url.Parse(issuer)
	if err != nil || at.Scheme != "https" {
		return nil, errors.New("the issuer is no https URL")
	}
	fresh, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), issuer)
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Keys string `json:"jwks_uri"`
	}
	if err := fresh.Claims(&metadata); err != nil {
		return nil, err
	}
	keys, err := url.Parse(metadata.Keys)
	if err != nil || !keysMayBeAt(at, keys) {
		return nil, errors.New("the issuer has its keys at another site")
	}
	return fresh, nil
}

// usableKeys refuses keys that are too large.
type usableKeys struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t usableKeys) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if err := checkKeys(body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// checkKeys returns an error if an answer is a set of keys, one of which is so large
// that a token for it would take minutes to be verified.
func checkKeys(body []byte) error {
	var set jose.JSONWebKeySet
	if json.Unmarshal(body, &set) != nil {
		return nil // it is none
	}
	for _, key := range set.Keys {
		if err := keysize.Check(key.Key); err != nil {
			return err
		}
		if err := keysize.CheckAll(key.Certificates); err != nil {
			return err
		}
	}
	return nil
}
