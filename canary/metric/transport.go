// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"crypto/tls"
	"maps"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// tlsSettings is whom a connection trusts, and as whom it presents itself.
type tlsSettings struct {
	insecure      bool
	ca, cert, key string
}

// transports keeps one transport for each set of TLS settings, so that connections are shared
// by all that may share them. The two that need no Secret live forever; the others
// as long as a MetricTemplate uses them, so that a Secret that rotates leaves no
// connections behind.
type transports struct {
	verifying, unverified *http.Transport
	operators             *http.Transport // for what the controller's flags name

	mu   sync.Mutex
	own  *simplelru.LRU[tlsSettings, *http.Transport]
	used map[client.ObjectKey]tlsSettings // by which MetricTemplate
}

// maxTransports bounds their memory: templates that are gone are noticed only when a
// canary asks for one. Those that were used longest ago go first, and are made again if
// they are asked for.
const maxTransports = 1000

func newTransports(guard *outbound.Guard) *transports {
	verifying, operators := guard.Transport(), outbound.Unguarded().Transport()
	// A thousand canaries ask the same server, and at the same time.
	verifying.MaxIdleConnsPerHost, operators.MaxIdleConnsPerHost = 32, 32
	trusting := verifying.Clone()
	trusting.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	t := &transports{
		verifying: verifying, unverified: trusting, operators: operators,
		used: map[client.ObjectKey]tlsSettings{},
	}
	// The only error is that of a size that is not positive.
	t.own, _ = simplelru.NewLRU(maxTransports, t.dropped)
	return t
}

// dropped ends the connections of a transport that is no longer kept.
func (t *transports) dropped(had tlsSettings, transport *http.Transport) {
	transport.CloseIdleConnections()
	maps.DeleteFunc(t.used, func(_ client.ObjectKey, uses tlsSettings) bool { return uses == had })
}

// get returns the transport of a MetricTemplate, and drops the one that it had
// before if nobody else has it.
func (t *transports) get(owner client.ObjectKey, wants tlsSettings) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used[owner] != wants {
		t.drop(owner)
	}
	switch wants {
	case tlsSettings{}:
		return t.verifying, nil
	case tlsSettings{insecure: true}:
		return t.unverified, nil
	}
	transport, ok := t.own.Get(wants)
	if !ok {
		config, err := wants.config()
		if err != nil {
			return nil, err
		}
		transport = t.verifying.Clone()
		transport.TLSClientConfig = config
		t.own.Add(wants, transport)
	}
	t.used[owner] = wants
	return transport, nil
}

// forget drops the transport of a MetricTemplate that is gone.
func (t *transports) forget(owner client.ObjectKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(owner)
}

func (t *transports) drop(owner client.ObjectKey) {
	had, ok := t.used[owner]
	if !ok {
		return
	}
	delete(t.used, owner)
	for _, other := range t.used {
		if other == had {
			return
		}
	}
	t.own.Remove(had)
}

// config trusts the authorities of the Secret beside those of the system: the
// token of a service account comes with the authority of its cluster, which is not
// that of every server the token is for.
func (t tlsSettings) config() (*tls.Config, error) {
	config, err := outbound.TLSConfig([]byte(t.ca), []byte(t.cert), []byte(t.key))
	if err == nil && t.insecure {
		config.InsecureSkipVerify = true
	}
	return config, err
}
