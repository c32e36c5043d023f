// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Session affinity works with cookies, in proxies that know nothing of sessions:
//
//  1. a request with the canary's cookie   -> canary      (who saw it stays)
//  2. a request with the primary's cookie  -> primary     (for one interval)
//  3. any other                            -> by weight; the answer sets a cookie
//
// The values are in the Canary's status, one for each revision, so that a new
// release is not bound by the sessions of the last. At weight 0 nobody is bound,
// and a client that still has a cookie is told to drop it.
const (
	cookieHeader    = "Cookie"
	setCookieHeader = "Set-Cookie"
	defaultMaxAge   = 24 * time.Hour
)

// sessionAffinity is the session affinity of a canary as it stands.
type sessionAffinity struct {
	spec *flaggerv1.SessionAffinity
	// canary and primary are `name=value`; primary may be empty.
	canary, primary string
	// stay is how long a user stays on the primary: until the next step.
	stay time.Duration
	// stale are cookies of which nothing depends any more.
	stale []string
}

// sessionOf reports false when there is nothing to do about sessions: without
// affinity, and while the status has no cookies. Weights come before affinity.
func sessionOf(c *flaggerv1.Canary, w provider.Weights) (sessionAffinity, bool) {
	a := c.Spec.Analysis
	if a == nil || a.SessionAffinity == nil {
		return sessionAffinity{}, false
	}
	s := sessionAffinity{spec: a.SessionAffinity}
	if w.Canary == 0 {
		for _, cookie := range []string{c.Status.SessionAffinityCookie, c.Status.PreviousSessionAffinityCookie} {
			if strings.Contains(cookie, "=") && (len(s.stale) == 0 || s.stale[0] != cookie) {
				s.stale = append(s.stale, cookie)
			}
		}
		return s, len(s.stale) > 0
	}
	s.canary = c.Status.SessionAffinityCookie
	if s.spec.PrimaryCookieName != "" {
		s.primary = c.Status.PrimarySessionAffinityCookie
	}
	s.stay, _ = a.GetInterval() // the plan says of one that cannot be read what it means
	return s, strings.Contains(s.canary, "=")
}

// stickyRoutes returns the routes that keep users with a cookie where they are. route makes
// one for those with a cookie, with the shares of both copies.
func (s sessionAffinity) stickyRoutes(route func(cookie string, ofPrimary, ofCanary int) rule) []rule {
	routes := []rule{route(s.canary, 0, 100)}
	if s.primary != "" {
		routes = append(routes, route(s.primary, 100, 0))
	}
	return routes
}

// setCanary is the Set-Cookie header of an answer of the canary.
func (s sessionAffinity) setCanary() string {
	age := s.spec.MaxAge
	if age == 0 {
		age = int(defaultMaxAge / time.Second)
	}
	return s.header(s.canary, age)
}

// setPrimary is the Set-Cookie header of an answer of the primary.
func (s sessionAffinity) setPrimary() string { return s.header(s.primary, int(s.stay/time.Second)) }

// drop is the Set-Cookie header that removes a cookie. A browser identifies a
// cookie by name, domain and path: without its attributes another one would be
// removed, which Flagger does.
func (s sessionAffinity) drop(cookie string) string { return s.header(cookie, -1) }

func (s sessionAffinity) header(cookie string, maxAge int) string {
	parts := []string{cookie, fmt.Sprintf("Max-Age=%d", maxAge)}
	add := func(set bool, part string) {
		if set {
			parts = append(parts, part)
		}
	}
	add(s.spec.Domain != "", "Domain="+s.spec.Domain)
	add(s.spec.HTTPOnly, "HttpOnly")
	add(s.spec.Partitioned, "Partitioned")
	add(s.spec.Path != "", "Path="+s.spec.Path)
	add(s.spec.SameSite != "", "SameSite="+s.spec.SameSite)
	add(s.spec.Secure, "Secure")
	return strings.Join(parts, "; ")
}

// cookieRegex matches a Cookie header with a cookie `name=value`, in proxies that
// match the whole header and in those that search it.
func cookieRegex(cookie string) string {
	name, value, _ := strings.Cut(cookie, "=")
	return ".*" + regexp.QuoteMeta(name) + ".*" + regexp.QuoteMeta(value) + ".*"
}

// token is the syntax of a cookie's name (RFC 6265), attribute that of the value
// of its attributes.
var (
	token     = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	attribute = regexp.MustCompile(`^[ -:<-~]*$`)
)

// checkSession refuses cookies that would not work.
func checkSession(c *flaggerv1.Canary) error {
	a := c.Spec.Analysis
	if a == nil || a.SessionAffinity == nil {
		return nil
	}
	const field = "spec.analysis.sessionAffinity"
	s := a.SessionAffinity
	switch {
	case len(a.Match) > 0:
		return terminal("%s: the users of an A/B test are chosen by spec.analysis.match; remove one of the two", field)
	case !token.MatchString(s.CookieName):
		return terminal("%s.cookieName: %q is not the name of a cookie", field, s.CookieName)
	case s.PrimaryCookieName != "" && !token.MatchString(s.PrimaryCookieName):
		return terminal("%s.primaryCookieName: %q is not the name of a cookie", field, s.PrimaryCookieName)
	case s.PrimaryCookieName == s.CookieName:
		return terminal("%s.primaryCookieName: must differ from cookieName; users of both would be on the canary", field)
	case !attribute.MatchString(s.Domain):
		return terminal("%s.domain: %q is not a domain", field, s.Domain)
	case !attribute.MatchString(s.Path):
		return terminal("%s.path: %q is not a path", field, s.Path)
	case setsCookies(c.Spec.Service.Headers):
		return terminal("spec.service.headers.response.add[%s]: a second one cannot be added beside that of %s; let the application set it",
			setCookieHeader, field)
	}
	return nil
}

// setsCookies reports whether the owner adds a Set-Cookie header of their own.
func setsCookies(h *flaggerv1.Headers) bool {
	if h == nil || h.Response == nil {
		return false
	}
	for name := range h.Response.Add {
		if strings.EqualFold(name, setCookieHeader) {
			return true
		}
	}
	return false
}
