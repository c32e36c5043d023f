// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
)

// OIDC is a provider of OpenID Connect that people sign in at, by the authorization code flow with PKCE. What a token's
// claims make of a user is as with the API server's flags of the same names, so that the same RBAC fits.
//
// See https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, RFC 7636 and
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens
type OIDC struct {
	// Issuer is the URL of the provider, and ClientID and ClientSecret what it knows the page by.
	Issuer, ClientID, ClientSecret string
	// UsernameClaim is the claim that is the name of the user, and UsernamePrefix what comes before it. An address of the
	// claim email counts only if the provider has verified it.
	UsernameClaim, UsernamePrefix string
	// GroupsClaim is the claim that has the groups, and GroupsPrefix what comes before each.
	GroupsClaim, GroupsPrefix string
	// Scopes are asked for beside openid.
	Scopes []string
	// Client is for requests to the provider.
	Client *http.Client
}

// Name is the host of the provider.
func (o *OIDC) Name() string {
	if u, err := url.Parse(o.Issuer); err == nil {
		return u.Host
	}
	return o.Issuer
}

// attempt is what is remembered of somebody who was sent to the provider.
type attempt struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	To       string    `json:"t"`
	Until    time.Time `json:"e"`
}

// attemptAge is how long signing in at the provider may take.
const attemptAge = 10 * time.Minute

// provider is an [OIDC] whose addresses are read when they are needed first: it may be up later than the page.
type provider struct {
	*OIDC
	redirect string
	clock    clock.PassiveClock

	known atomic.Pointer[oidc.Provider]
	// asking is one question to the provider for all who need its addresses.
	asking background.Group[struct{}, *oidc.Provider]
}

func newProvider(o *OIDC, redirect string, clk clock.PassiveClock) *provider {
	return &provider{OIDC: o, redirect: redirect, clock: clk, asking: background.Group[struct{}, *oidc.Provider]{Timeout: requestTimeout}}
}

func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	if known := p.known.Load(); known != nil {
		return known, nil
	}
	found, err := p.asking.Do(ctx, struct{}{}, func(ctx context.Context) (*oidc.Provider, error) {
		if known := p.known.Load(); known != nil { // by the question before
			return known, nil
		}
		// The keys are read again later, by the client of this context, which has a timeout.
		found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.Client), p.Issuer)
		if err == nil {
			p.known.Store(found)
		}
		return found, err
	})
	switch {
	case err == nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the provider %s does not answer in time", p.Name())
	}
	return nil, fmt.Errorf("the provider %s cannot be asked: %w", p.Name(), err)
}

func (p *provider) config(of *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: of.Endpoint(), RedirectURL: p.redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...),
	}
}

// redirectToProvider sends a browser to the provider.
func (l *login) redirectToProvider(w http.ResponseWriter, r *http.Request) {
	of, err := l.provider.discover(r.Context())
	if err != nil {
		l.form(w, r, http.StatusBadGateway, err.Error())
		return
	}
	a := attempt{
		State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(),
		To: screenOf(r.FormValue("to")), Until: l.clock.Now().Add(attemptAge),
	}
	value, err := l.sessions.seal(attemptCookie, a)
	if err != nil {
		l.form(w, r, http.StatusBadRequest, err.Error())
		return
	}
	// The provider leads back from another site, where a strict cookie would stay behind.
	http.SetCookie(w, &http.Cookie{
		Name: l.cookie() + "-login", Value: value, Path: "/", HttpOnly: true, Secure: l.secure(),
		SameSite: http.SameSiteLaxMode, Expires: a.Until,
	})
	to := l.provider.config(of).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// callback takes somebody in whom the provider knows.
func (l *login) callback(w http.ResponseWriter, r *http.Request) {
	var a attempt
	cookie, err := r.Cookie(l.cookie() + "-login")
	if err != nil || l.sessions.open(cookie.Value, attemptCookie, &a) != nil || l.clock.Now().After(a.Until) ||
		subtle.ConstantTimeCompare([]byte(a.State), []byte(r.FormValue("state"))) != 1 {
		l.form(w, r, http.StatusBadRequest, "this was not asked for by this browser, or too long ago: sign in again")
		return
	}
	l.set(w, l.cookie()+"-login", "", time.Unix(1, 0))
	if why := r.FormValue("error"); why != "" {
		l.form(w, r, http.StatusForbidden, fmt.Sprintf("%s refused: %.100s %.300s", l.provider.Name(), why, r.FormValue("error_description")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	who, err := l.provider.identify(ctx, r.FormValue("code"), a)
	if err != nil {
		l.form(w, r, http.StatusForbidden, err.Error())
		return
	}
	r.Form.Set("to", a.To)
	l.startSession(w, r, who)
}

// identify exchanges a code for a token, and reads from that who somebody is.
func (p *provider) identify(ctx context.Context, code string, a attempt) (identity, error) {
	of, err := p.discover(ctx)
	if err != nil {
		return identity{}, err
	}
	ctx = oidc.ClientContext(ctx, p.Client)
	tokens, err := p.config(of).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return identity{}, fmt.Errorf("%s does not exchange the code: check client, secret and redirect URL %s", p.Name(), p.redirect)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return identity{}, fmt.Errorf("%s sent no ID token: it has to speak OpenID Connect", p.Name())
	}
	token, err := of.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.clock.Now}).Verify(ctx, raw)
	if err != nil {
		return identity{}, fmt.Errorf("the ID token of %s is not valid", p.Name())
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return identity{}, fmt.Errorf("the ID token of %s is of another sign-in", p.Name())
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return identity{}, fmt.Errorf("the claims of %s cannot be read", p.Name())
	}
	return p.userOf(claims)
}

// userOf returns the user and the groups that the claims of an ID token name.
func (o *OIDC) userOf(claims map[string]any) (identity, error) {
	name, _ := claims[o.UsernameClaim].(string)
	if name == "" {
		return identity{}, fmt.Errorf("the ID token has no claim %q, which would be your name", o.UsernameClaim)
	}
	if verified, said := claims["email_verified"]; o.UsernameClaim == "email" && said && verified != true {
		return identity{}, errors.New("the provider has not verified your email address")
	}
	who := identity{Name: o.UsernamePrefix + name}
	if isReserved(who.Name) {
		return identity{}, fmt.Errorf("the name %q is reserved", who.Name)
	}
	groups, ok := claims[o.GroupsClaim].([]any)
	if !ok {
		groups = []any{claims[o.GroupsClaim]}
	}
	for _, group := range groups {
		if text, ok := group.(string); ok && text != "" && !isReserved(o.GroupsPrefix+text) {
			who.Groups = append(who.Groups, o.GroupsPrefix+text)
		}
	}
	return who, nil
}

// isReserved reports whether nobody is what a provider says: a part of the cluster, somebody who did not sign in, or a
// name that would become another one on its way.
func isReserved(name string) bool { return !isPlain(name) || isSystem(name) || name == AnonymousUser }
