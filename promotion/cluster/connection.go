// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Bounds of what another cluster answers.
const (
	discoveryTimeout = 30 * time.Second
	maxAnswer        = 16 << 20 // bytes, of one list or one watch; a watch begins anew
)

// connection is how an API server is reached.
type connection struct {
	// id is empty for this cluster, else it names the kubeConfig and what it says.
	id string
	// name is what people call the cluster: the Secret of its kubeConfig.
	name    string
	mapper  apimeta.RESTMapper
	objects dynamic.Interface
	// users are the watches that use it, under the lock of the clusters.
	users int
	idle  func()
}

func connectLocally(config *rest.Config, mapper apimeta.RESTMapper) (*connection, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &connection{mapper: mapper, objects: objects, idle: func() {}}, nil
}

// connect prepares a connection to the cluster of a kubeConfig, without using it.
// Connections are made through the guard, and share nothing with those of others.
func connect(id, name string, config *rest.Config, guard *outbound.Guard) (*connection, error) {
	transport, err := transportOf(config, guard)
	if err != nil {
		return nil, err
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, boundedTransport{transport})
	if err != nil {
		return nil, err
	}
	config = rest.AnonymousClientConfig(config)
	mapper, err := apiutil.NewDynamicRESTMapper(config, &http.Client{Transport: wrapped, Timeout: discoveryTimeout})
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfigAndClient(config, &http.Client{Transport: wrapped})
	if err != nil {
		return nil, err
	}
	return &connection{id: id, name: name, mapper: mapper, objects: objects, idle: transport.CloseIdleConnections}, nil
}

func transportOf(config *rest.Config, guard *outbound.Guard) (*http.Transport, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, errors.New("its certificates and keys cannot be read")
	}
	transport := guard.Transport()
	transport.TLSClientConfig = tls
	if config.Proxy != nil {
		proxy, err := config.Proxy(&http.Request{URL: &url.URL{}})
		if err != nil {
			return nil, errors.New("its proxy-url is no URL")
		}
		transport.Proxy = guard.ProxyOr(proxy)
	}
	return utilnet.SetTransportDefaults(transport), nil
}

// mapping asks the API server which resource has a kind, unless it is known.
func (c *connection) mapping(kind schema.GroupVersionKind) (*apimeta.RESTMapping, error) {
	return c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// where says which cluster it is, if that is another one.
func (c *connection) where() string {
	if c.name == "" {
		return ""
	}
	return fmt.Sprintf(" (cluster of kubeConfig %s)", c.name)
}

func (c *connection) close() { c.idle() }

// boundedTransport ends answers that are longer than one may be.
type boundedTransport struct{ next http.RoundTripper }

func (b boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err == nil && resp.Body != nil {
		resp.Body = bounded.Body(resp.Body, maxAnswer, errTooLong)
	}
	return resp, err
}

var errTooLong = fmt.Errorf("the API server's answer has more than %d bytes", maxAnswer)
