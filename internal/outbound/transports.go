// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/lru"
)

// Settings are how a server is reached: what a Secret says of certificates, and a
// proxy. The zero value is the system's certificates and the environment's proxy.
type Settings struct {
	// CA holds PEM certificates that are trusted beside the system's; Cert and Key are a
	// client certificate.
	CA, Cert, Key string
	// Proxy is the URL of a proxy, which may hold a password.
	Proxy string
	// Direct uses no proxy at all, not even that of the environment.
	Direct bool
	// Insecure accepts any certificate of the server.
	Insecure bool
}

const (
	// maxTransports bounds how many sets of settings have connections at once.
	maxTransports = 1000
	// maxOwners bounds of how many owners it is known which settings they have. What the one
	// had that is no longer known stays until the transports are too many.
	maxOwners = 10_000
)

// Transports keeps one transport for each set of settings, so that connections are
// shared by all that may share them. Those that were used longest ago are dropped, and
// made again when they are needed. It is safe for concurrent use.
type Transports struct {
	// IdlePerHost is how many connections to a host are kept that nobody uses; zero is as many
	// as net/http keeps. It is set before the first use.
	IdlePerHost int

	guard *Guard

	mu    sync.Mutex
	kept  *lru.Cache[Settings, *http.Transport]
	owned *lru.Cache[string, Settings] // by owner
}

// NewTransports returns transports whose connections go through the guard.
func NewTransports(guard *Guard) *Transports {
	t := &Transports{
		guard: guard, kept: lru.NewCounted[Settings, *http.Transport](maxTransports), owned: lru.NewCounted[string, Settings](maxOwners),
	}
	t.kept.Removed = t.dropped
	return t
}

// dropped ends the connections of a transport that is no longer kept.
func (t *Transports) dropped(had Settings, transport *http.Transport) {
	transport.CloseIdleConnections()
	t.owned.RemoveFunc(func(_ string, has Settings) bool { return has == had })
}

// For returns the transport for settings. Errors name keys of a Secret, and no values.
func (t *Transports) For(s Settings) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.get(s)
}

// ForOwner is [Transports.For] for an object whose settings may change, when its Secret rotates:
// what it had before is dropped, with its connections and the old key, if no other owner
// has it.
func (t *Transports) ForOwner(owner string, s Settings) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if had, ok := t.owned.Get(owner); ok && had != s {
		t.releaseOwner(owner)
	}
	transport, err := t.get(s)
	if err == nil && s.private() {
		t.owned.Put(owner, s)
	}
	return transport, err
}

// Forget drops what an owner had that is gone.
func (t *Transports) Forget(owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseOwner(owner)
}

// Len is how many transports are kept.
func (t *Transports) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n := t.kept.Usage()
	return n
}

func (t *Transports) get(s Settings) (*http.Transport, error) {
	if kept, ok := t.kept.Get(s); ok {
		return kept, nil
	}
	transport, err := t.guard.TransportFor(s)
	if err != nil {
		return nil, err
	}
	if t.IdlePerHost > 0 {
		transport.MaxIdleConnsPerHost = t.IdlePerHost
	}
	t.kept.Put(s, transport)
	return transport, nil
}

func (t *Transports) releaseOwner(owner string) {
	had, ok := t.owned.Get(owner)
	if !ok {
		return
	}
	t.owned.Remove(owner)
	if !t.owned.Any(func(_ string, other Settings) bool { return other == had }) {
		t.kept.Remove(had)
	}
}

// private reports whether settings are of a Secret. Those that are not may be anybody's.
func (s Settings) private() bool { return s.CA != "" || s.Cert != "" || s.Key != "" || s.Proxy != "" }

// TransportFor is [Guard.Transport] for settings. Errors name keys of a Secret, and no values.
func (g *Guard) TransportFor(s Settings) (*http.Transport, error) {
	config, err := TLSConfig([]byte(s.CA), []byte(s.Cert), []byte(s.Key))
	if err != nil {
		return nil, err
	}
	if s.Insecure {
		config = Unverified(config)
	}
	var proxy *url.URL
	if s.Proxy != "" {
		if proxy, err = ParseProxy(s.Proxy); err != nil {
			return nil, fmt.Errorf("the proxy: %w", err)
		}
	}
	transport := g.TransportVia(config, proxy)
	if s.Direct {
		transport.Proxy = nil
	}
	return transport, nil
}

// Unverified is a configuration, or that of nil, with which any certificate of a server is trusted. It takes config over.
func Unverified(config *tls.Config) *tls.Config {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.InsecureSkipVerify = true
	return config
}

// TLSConfig trusts ca beside the authorities of the system, and presents cert: PEM, as the
// keys ca.crt, tls.crt and tls.key of a Secret have it. It is nil if all of them are empty.
// Errors name the keys, and quote no values.
func TLSConfig(ca, cert, key []byte) (*tls.Config, error) {
	if len(ca) == 0 && len(cert) == 0 && len(key) == 0 {
		return nil, nil
	}
	if err := keysize.CheckPEM(ca, cert, key); err != nil {
		return nil, fmt.Errorf("'ca.crt', 'tls.crt' or 'tls.key': %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("'ca.crt' holds no PEM certificate")
		}
		config.RootCAs = pool
	}
	if len(cert) == 0 && len(key) == 0 {
		return config, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("'tls.crt' and 'tls.key' are no pair: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
