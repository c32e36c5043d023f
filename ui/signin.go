// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/lru"
)

// AnonymousUser is whom the page reads the cluster as for people who did not sign in, where that is allowed: they see what
// RBAC lets this user list, or everybody who has signed in: the API server puts whoever is impersonated into the group
// system:authenticated, whose rights the page needs to ask for others. They change nothing.
const AnonymousUser = "sluice:anonymous"

// SignIn lets people in by who they are to the API server: by a token that it knows, or by an OpenID Connect provider.
// Tokens are sent to the API server as they are. Users of a provider are impersonated, for which the controller needs the
// right to impersonate users and groups; names that begin with system: never are.
//
// See https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
type SignIn struct {
	// URL is where people reach the page.
	URL *url.URL
	// Config is the controller's own, as which users are impersonated.
	Config *rest.Config
	// Key seals the cookies of sessions; replicas have to share it. See [SessionKey].
	Key []byte
	// Lifetime of a session.
	Lifetime time.Duration
	// Anonymous lets people read as [AnonymousUser] who did not sign in.
	Anonymous bool
	// OIDC is a provider that people sign in at; nil leaves them tokens.
	OIDC *OIDC
}

// identity is who somebody is.
type identity struct {
	Name   string   `json:"n,omitempty"`
	Groups []string `json:"g,omitempty"`
	// Token is one of the API server, which says who it is.
	Token string `json:"t,omitempty"`
}

// key is different for different identities, whatever characters are in their names.
func (i identity) key() ([sha256.Size]byte, error) {
	text, err := json.Marshal(i)
	return sha256.Sum256(text), err
}

// check refuses what is no token or name, and names that would change in a header: HTTP cuts spaces.
func (i identity) check() error {
	if i.Token != "" {
		if strings.ContainsFunc(i.Token, func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII }) {
			return &deniedError{why: "this is no token", login: "/login"}
		}
		return nil
	}
	for _, name := range append([]string{i.Name}, i.Groups...) {
		if !isPlain(name) || isSystem(name) {
			return &deniedError{why: fmt.Sprintf("nobody may be %q", name), login: "/login"}
		}
	}
	return nil
}

// isPlain reports whether a name is the same in every header.
func isPlain(name string) bool {
	return name != "" && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, unicode.IsControl)
}

// isSystem reports whether a name means a part of the cluster.
func isSystem(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), "system:")
}

const (
	// maxViews bounds the users whose views are cached.
	maxViews = 1000
	// tokenAge is how long what the API server said of a token is believed; each request with it is checked there.
	tokenAge = time.Minute
)

// login is the authenticator of people who sign in, and the pages where they do.
type login struct {
	SignIn
	cluster  *Cluster
	clock    clock.WithTicker
	sessions sealer
	provider *provider // nil without OIDC
	views    *lru.Cache[[sha256.Size]byte, *cachedView]
	// signIns are those under way of people of whom nothing proves yet who they are.
	signIns queue
}

// cachedView is a view, and until when it is believed to be the user's.
type cachedView struct {
	*view
	until time.Time
}

// open starts without anybody signed in.
func (s *SignIn) open(of *Cluster, clk clock.WithTicker) (*login, error) {
	sessions, err := newSealer(s.Key)
	if err != nil {
		return nil, err
	}
	l := &login{
		SignIn: *s, cluster: of, clock: clk, sessions: sessions,
		views:   lru.NewCounted[[sha256.Size]byte, *cachedView](maxViews),
		signIns: newQueue(maxSignIns, maxQueue),
	}
	if s.OIDC != nil {
		l.provider = newProvider(s.OIDC, s.URL.JoinPath("login", "callback").String(), clk)
	}
	return l, nil
}

// serves the host that people use, and kubectl port-forward.
func (l *login) serves(host string) bool {
	return hostOf(l.URL.Scheme, host) == hostOf(l.URL.Scheme, l.URL.Host) || isLoopback(host)
}

// hostOf is a host as browsers write it in a request: in lower case, by its name in ASCII (RFC 5891), without
// the port that the scheme has anyway.
func hostOf(scheme, host string) string {
	u := url.URL{Scheme: scheme, Host: host}
	name, port := u.Hostname(), u.Port()
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		name = ascii
	}
	if port == "" || port == map[string]string{"http": "80", "https": "443"}[scheme] {
		return strings.ToLower(name)
	}
	return strings.ToLower(net.JoinHostPort(name, port))
}

func (*login) canSignOut() bool { return true }

// authenticate implements [authenticator] by a token, a session, or as [AnonymousUser] where that is allowed.
func (l *login) authenticate(r *http.Request) (*view, error) {
	if token, ok := bearerOf(r); ok {
		return l.newcomerView(r.Context(), identity{Token: token})
	}
	var who signInCookie
	if sealed := cookieValue(r, l.cookie()); sealed != "" && l.sessions.open(sealed, sessionCookie, &who) == nil &&
		l.clock.Now().Before(who.Until) {
		v, err := l.viewAs(r.Context(), who.identity)
		if !isDenied(err) {
			return v, err
		}
	}
	if l.Anonymous {
		return l.viewAs(r.Context(), identity{Name: AnonymousUser})
	}
	return nil, &deniedError{why: "sign in first", login: "/login"}
}

func isDenied(err error) bool {
	var denied *deniedError
	return errors.As(err, &denied)
}

// newcomerView is the view of somebody who is not known yet. Many at once wait for one another,
// and not for the API server: those who have signed in need it as well.
func (l *login) newcomerView(ctx context.Context, who identity) (*view, error) {
	if known, _, err := l.known(who); known != nil || err != nil {
		return known, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	leave, err := l.signIns.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return l.viewAs(ctx, who)
}

// known is the view of somebody who was there a moment ago, or nil, and the key of it.
func (l *login) known(who identity) (*view, [sha256.Size]byte, error) {
	if err := who.check(); err != nil {
		return nil, [sha256.Size]byte{}, err
	}
	key, err := who.key()
	if found, ok := l.views.Get(key); err == nil && ok && l.clock.Now().Before(found.until) {
		return found.view, key, nil
	}
	return nil, key, err
}

// viewAs is the view of somebody.
func (l *login) viewAs(ctx context.Context, who identity) (*view, error) {
	known, key, err := l.known(who)
	if known != nil || err != nil {
		return known, err
	}
	config := rest.CopyConfig(l.Config)
	if who.Token != "" {
		config = rest.AnonymousClientConfig(l.Config)
		config.BearerToken = who.Token
	} else {
		config.Impersonate = rest.ImpersonationConfig{UserName: who.Name, Groups: who.Groups}
	}
	config.QPS = -1 // the API server is fair to users
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{HTTPClient: hc, Scheme: l.cluster.scheme, Mapper: l.cluster.mapper})
	if err != nil {
		return nil, err
	}
	v := &view{Cluster: l.cluster, client: c, user: who.Name, readOnly: who.Name == AnonymousUser, rights: &rights{clock: l.clock}}
	if who.Token != "" {
		if v.user, err = nameOf(ctx, c); err != nil {
			return nil, err
		}
	}
	l.views.Put(key, &cachedView{v, l.clock.Now().Add(tokenAge)})
	return v, nil
}

// errUnreachable says no more to people of whom nothing is known.
var errUnreachable = errors.New("the API server does not answer whose the token is: try again in a moment")

// nameOf asks the API server whose token a client has.
func nameOf(ctx context.Context, c client.Client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var review authenticationv1.SelfSubjectReview
	err := c.Create(ctx, &review)
	switch name := review.Status.UserInfo.Username; {
	case apierrors.IsUnauthorized(err), err == nil && (name == "" || name == "system:anonymous"):
		return "", &deniedError{why: "the API server does not accept the token, or not any more", login: "/login"}
	case err != nil:
		return "", errUnreachable
	default:
		return name, nil
	}
}
