// SPDX-License-Identifier: Apache-2.0

package git

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// dialHTTP prepares conversations over HTTP.
func (m *Mirrors) dialHTTP(auth Auth, u *url.URL) (server, Auth, error) {
	auth = auth.orFrom(u.User)
	client, err := m.httpClient(auth)
	if err != nil {
		return nil, auth, err
	}
	return &httpServer{client: client, clock: m.clock, base: bare(u)}, auth, nil
}

// httpClient returns the client for an Auth's certificates and proxy. Those who
// have the same share its connections.
func (m *Mirrors) httpClient(auth Auth) (*http.Client, error) {
	key := Remote{Auth: Auth{CA: auth.CA, Cert: auth.Cert, Key: auth.Key, Proxy: auth.Proxy}}.ID()
	if kept, ok := m.clients[key]; ok {
		kept.used = m.clock.Now()
		return kept.Client, nil
	}
	settings := outbound.Settings{CA: string(auth.CA), Cert: string(auth.Cert), Key: string(auth.Key)}
	if auth.Proxy != "" {
		proxy, err := auth.proxy()
		if err != nil {
			return nil, err
		}
		settings.Proxy = proxy.String()
	}
	base, err := m.Guard.TransportFor(settings)
	if err != nil {
		return nil, err
	}
	base.MaxIdleConnsPerHost = 8
	// A server that may compress its answer sends a thousand times as much.
	base.DisableCompression = true
	// A greeting may be sent on. Nothing that asks or pushes is: where the repository is was
	// said by then.
	client := outbound.NewClient(base, outbound.Rules{Redirects: outbound.Reads, Limits: answers})
	m.clients[key] = &httpClient{Client: client, used: m.clock.Now()}
	return client, nil
}

// tls is nil when the defaults will do.
func (a Auth) tls() (*tls.Config, error) { return outbound.TLSConfig(a.CA, a.Cert, a.Key) }

// proxy is the proxy's URL. Errors do not quote it: it may hold a password.
func (a Auth) proxy() (*url.URL, error) {
	proxy, err := outbound.ParseProxy(a.Proxy)
	if err != nil {
		return nil, fmt.Errorf("the proxy: %w", err)
	}
	return proxy, nil
}
