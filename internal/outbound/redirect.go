// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Redirects is a policy: whether a client goes where a server sends it, given the request to
// come and those before it, as [http.Client.CheckRedirect] is. The package comment has a table
// of who uses which, and why.
//
// Policies that follow redirects have this in common. They follow [maxRedirects] at most,
// over http and https, and never from https to http. A redirect that makes another method of
// a request (301, 302 and 303 make a GET of a POST) is not followed, since what was to be
// written would be lost and the page behind it taken for a success: the answer is the redirect
// itself. And a request that leaves the origin of the first one takes along what it asks for
// and nothing that may authenticate: neither headers, of which net/http knows Authorization
// and cookies alone, nor the user that a URL names.
type Redirects func(req *http.Request, via []*http.Request) error

// maxRedirects is more than any server in its senses needs.
const maxRedirects = 5

// ErrRedirect means that a server leads where its client does not go.
var ErrRedirect error = redirectError("the server redirects")

// redirectError is an [ErrRedirect] with its reason. It names nothing of where the server leads:
// who wrote the URL may not be who may read what that server answers.
type redirectError string

func (e redirectError) Error() string { return string(e) }

// Is makes all of them [ErrRedirect].
func (redirectError) Is(target error) bool { return target == ErrRedirect }

const (
	errRefused   redirectError = "the server leads elsewhere, where credentials are not sent"
	errOther     redirectError = "the server redirects to another server"
	errScheme    redirectError = "the server redirects to something else than http or https"
	errDowngrade redirectError = "the server redirects from https to http"
	errMethod    redirectError = "the server redirects what is to be written to something that is read"
)

// Return follows no redirect: it is the answer. It is for callers that take no 3xx for a
// success, and tell the status.
func Return(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Refuse follows no redirect: it is an error. It is for libraries, of which nobody knows what
// they make of a 3xx.
func Refuse(*http.Request, []*http.Request) error { return errRefused }

// SameServer follows redirects to the scheme, host and port that were asked first.
func SameServer(req *http.Request, via []*http.Request) error { return Within(sameServer)(req, via) }

func sameServer(first, to *http.Request) error {
	if first.URL.Scheme != to.URL.Scheme || !SameOrigin(first.URL, to.URL) {
		return errOther
	}
	return nil
}

// AnyServer follows redirects of requests that read to every server that the guard lets
// through, and of requests that write, whose body may authenticate, within the origin.
func AnyServer(req *http.Request, via []*http.Request) error { return Within(anyServer)(req, via) }

func anyServer(first, to *http.Request) error {
	if !reads(to) && !SameOrigin(first.URL, to.URL) {
		return errOther
	}
	return nil
}

// Reads is [AnyServer] for requests that read. Those that write follow none: the redirect is
// the answer.
func Reads(req *http.Request, via []*http.Request) error {
	if !reads(via[0]) {
		return http.ErrUseLastResponse
	}
	return AnyServer(req, via)
}

func reads(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == ""
}

// Within follows redirects for which leads returns nil, given the first request and the one
// to come.
func Within(leads func(first, to *http.Request) error) Redirects {
	return func(req *http.Request, via []*http.Request) error {
		first, before := via[0], via[len(via)-1]
		switch {
		case req.Method != first.Method:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return redirectError(fmt.Sprintf("the server redirects more than %d times", maxRedirects))
		case req.URL.Scheme != "http" && req.URL.Scheme != "https":
			return errScheme
		case before.URL.Scheme == "https" && req.URL.Scheme != "https":
			return errDowngrade
		}
		return leads(first, req)
	}
}

// follow is the policy as clients have it.
func (r Redirects) follow(req *http.Request, via []*http.Request) error {
	if err := r(req, via); err != nil {
		return err
	}
	if left(req, via) {
		req.URL.User = nil
		req.Header = asked(req.Header)
	}
	return nil
}

// left reports whether a request is, or one of those before it was, for another origin than
// the first one: a server of another origin may have chosen where it goes.
func left(req *http.Request, via []*http.Request) bool {
	for _, other := range append(via[1:len(via):len(via)], req) {
		if !SameOrigin(via[0].URL, other.URL) {
			return true
		}
	}
	return false
}

// asked are the headers that say what is asked for, and not who asks.
func asked(header http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Accept", "If-None-Match", "If-Modified-Since", "Range", "User-Agent"} {
		if values := header.Values(name); len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// Check is the policy for transports below libraries that make their clients themselves: it
// returns an error if the request follows a redirect that the policy does not. It cannot
// give back the redirect as the answer any more, which is an error as well, and it leaves
// headers alone: at that depth they are those that the library has chosen for this server.
func (r Redirects) Check(req *http.Request) error {
	var via []*http.Request
	for last := req; last.Response != nil && last.Response.Request != nil && len(via) <= maxRedirects; {
		last = last.Response.Request
		via = append([]*http.Request{last}, via...)
	}
	if len(via) == 0 {
		return nil
	}
	err := r(req, via)
	if errors.Is(err, http.ErrUseLastResponse) {
		return errMethod
	}
	return err
}

// SameOrigin reports whether two URLs lead to the same server: scheme, host and port. A
// server that moves from http to https, at the ports that these have, is the same.
func SameOrigin(from, to *url.URL) bool {
	before, after := portOf(from), portOf(to)
	upgraded := from.Scheme == "http" && to.Scheme == "https" && before == "80" && after == "443"
	return strings.EqualFold(from.Hostname(), to.Hostname()) && (upgraded || from.Scheme == to.Scheme && before == after)
}

// portOf is the port of an HTTP URL, which need not say it.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
