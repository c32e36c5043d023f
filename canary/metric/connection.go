// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/identity"
)

// connection is what a provider is reached with.
type connection struct {
	flaggerv1.MetricTemplateProvider
	namespace string // of the template
	secret    map[string][]byte
	client    *http.Client
	checker   *Checker
}

// incompleteSecret is what is wrong with a Secret. It is worth another try: who writes
// the Secret may not be done.
type incompleteSecret struct{ error }

// base is the address to ask, or the fallback without one. An address that is no
// URL is not repeated in the error: it may hold a password.
func (c *connection) base(fallback string) (*url.URL, error) {
	address := c.Address
	if address == "" {
		address = fallback
	}
	if address == "" {
		return nil, fmt.Errorf("address: provider %s needs one", c.Type)
	}
	return parseAddress(address)
}

func parseAddress(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("address: it is no URL such as https://host:port")
	}
	return base, nil
}

// urlOf is a path under the base, with query parameters beside those of the base.
func urlOf(base *url.URL, path string, values url.Values) string {
	u := base
	if path != "" { // joining nothing would take the last slash away
		u = base.JoinPath(path)
	}
	u = &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	all := u.Query()
	for key, value := range values {
		all[key] = value
	}
	u.RawQuery = all.Encode()
	return u.String()
}

// keys are values of the Secret, all of which the provider needs.
func (c *connection) keys(names ...string) (map[string]string, error) {
	if c.SecretRef == nil {
		return nil, fmt.Errorf("secretRef: provider %s needs a Secret with %s", c.Type, strings.Join(names, " and "))
	}
	values := make(map[string]string, len(names))
	for _, name := range names {
		if values[name] = c.key(name); values[name] == "" {
			return nil, incompleteSecret{fmt.Errorf("secretRef: Secret %q has no %s", c.SecretRef.Name, name)}
		}
	}
	return values, nil
}

// key is a value of the Secret without the line break that most files end in.
func (c *connection) key(name string) string {
	return strings.TrimRight(string(c.secret[name]), "\r\n")
}

// login is a bearer token, or else a name and password, or nothing without a
// Secret. A Secret may also hold nothing but certificates.
func (c *connection) login() (func(*http.Request), error) {
	token, username, password := c.key("token"), c.key("username"), c.key("password")
	switch {
	case token != "":
		return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+token) }, nil
	case username != "" && password != "":
		return func(req *http.Request) { req.SetBasicAuth(username, password) }, nil
	case c.SecretRef == nil, username == "" && password == "" && (c.key("ca.crt") != "" || c.key("tls.crt") != ""):
		return func(*http.Request) {}, nil
	default:
		return nil, incompleteSecret{fmt.Errorf("secretRef: Secret %q has neither token nor username and password", c.SecretRef.Name)}
	}
}

// endpoint is a server that is asked at the address of a template, with its login.
type endpoint struct {
	*connection
	base  *url.URL
	login func(*http.Request)
}

func (c *connection) endpoint() (endpoint, error) {
	base, err := c.base("")
	if err != nil {
		return endpoint{}, err
	}
	login, err := c.login()
	return endpoint{c, base, login}, err
}

// request has the headers of the template; those of the provider come on top.
func (c *connection) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("making a request: the address and the query make no URL")
	}
	// The headers belong to an object in a cache.
	for name, values := range c.Headers {
		for _, value := range values {
			req.Header.Add(name, value)
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// get asks with GET and returns the body of the answer.
func (c *connection) get(ctx context.Context, address string, login func(*http.Request)) ([]byte, error) {
	req, err := c.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	login(req)
	return ask(c.client, req)
}

// refuseOwnIdentity refuses what would take the controller's own identity elsewhere than to the
// provider. Whoever writes a MetricTemplate also writes these fields.
func (c *connection) refuseOwnIdentity(provider string, base *url.URL) error {
	use := identity.Use{Provider: provider, Service: identity.Metrics, URL: base}
	if c.key("ca.crt") != "" {
		use.Route = append(use.Route, "ca.crt of the Secret")
	}
	if c.InsecureSkipVerify {
		use.Route = append(use.Route, "insecureSkipVerify")
	}
	for name := range c.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			use.Route = append(use.Route, "headers.Host")
		}
	}
	if err := use.Check(); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	bound := *c.client
	bound.Transport = identity.Bind(c.client.Transport, provider, identity.Metrics)
	c.client = &bound
	return nil
}
