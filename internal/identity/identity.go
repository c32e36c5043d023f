// SPDX-License-Identifier: Apache-2.0

// Package identity says where an identity in a cloud may go. Objects name a
// provider instead of a Secret; what then leaves the process is the token of the
// controller itself, or of a ServiceAccount, and the author of the object also
// chooses the address that it is sent to. So an address has to meet conditions:
//
//	https only           otherwise the token can be read on the way
//	the provider's hosts a name that looks like one of them belongs to somebody else,
//	                     and so do names that the provider lends to its customers,
//	                     such as those of its load balancers and functions
//	no route of the      the controller's own identity goes neither through a proxy
//	object's own         nor past a certificate authority that the object names. A
//	                     ServiceAccount of the object's namespace may: the author of
//	                     the object can get that token anyway
//
// The proxy of the environment and the authorities of the system are the
// operator's, and are used as ever.
package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ErrRefused means that an identity does not go where an object wants it. Only an
// edit of the object can cure that.
var ErrRefused = errors.New("refusing to send a cloud's identity")

// Use is one use of an identity.
type Use struct {
	// Provider is aws, azure or gcp.
	Provider string
	// Service is what is asked.
	Service Service
	// URL is where it goes.
	URL *url.URL
	// Account names the ServiceAccount of the object's namespace whose identity it
	// is; empty is the controller's own.
	Account string
	// Route are the fields of the object that name a proxy or a certificate
	// authority, such as spec.proxySecretRef.
	Route []string
}

// Check returns an [ErrRefused] that says what to do when the identity must not be
// used so.
func (u Use) Check() error {
	whose := "the controller's own identity"
	if u.Account != "" {
		whose = "the identity of ServiceAccount " + u.Account
	}
	switch {
	case u.URL.Scheme != "https":
		return fmt.Errorf("%w: %s in %s goes over https only, not to %s://%s", ErrRefused, whose, u.Provider, u.URL.Scheme, u.URL.Host)
	case !Owns(u.Provider, u.Service, u.URL):
		return fmt.Errorf("%w: %s in %s goes to hosts of %s only (%s), and %s is none: use a Secret, or correct the address",
			ErrRefused, whose, u.Provider, names[u.Provider], hosts[u.Provider][u.Service].said, u.URL.Host)
	case u.Account == "" && len(u.Route) > 0:
		return fmt.Errorf("%w: %s in %s does not go the way that %s says: remove it, or use a ServiceAccount's identity or a Secret",
			ErrRefused, whose, u.Provider, strings.Join(u.Route, " and "))
	}
	return nil
}

// Owns reports whether the host of an address is the provider's own for a service,
// at the port of https.
func Owns(provider string, service Service, address *url.URL) bool {
	known, ok := hosts[provider][service]
	if !ok || address.Port() != "" && address.Port() != "443" {
		return false
	}
	host := strings.ToLower(address.Hostname())
	return known.pattern.MatchString(host) || service == Registry && provider == azure && ofAzureStack(host)
}

// Bind returns a transport that sends what authenticates to the provider's own
// hosts alone, wherever a server's answer leads: a token server, a redirect or
// another page.
func Bind(next http.RoundTripper, provider string, service Service) http.RoundTripper {
	return boundTransport{next: next, provider: provider, service: service}
}

type boundTransport struct {
	next     http.RoundTripper
	provider string
	service  Service
}

// RoundTrip implements http.RoundTripper.
func (b boundTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if secret(req) && (req.URL.Scheme != "https" || !Owns(b.provider, b.service, req.URL)) {
		return nil, fmt.Errorf("%w: the server leads to %s://%s, which is no host of %s",
			ErrRefused, req.URL.Scheme, req.URL.Host, names[b.provider])
	}
	return b.next.RoundTrip(req)
}

// secret reports whether a request may carry what authenticates. A body may: it is
// how tokens are exchanged.
func secret(req *http.Request) bool {
	return req.Header.Get("Authorization") != "" || req.Header.Get("X-Amz-Security-Token") != "" ||
		req.URL.User != nil || req.Body != nil && req.Body != http.NoBody
}
