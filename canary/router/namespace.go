// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// inNamespace is a router of canaries that may not reach beyond their namespace. Most
// proxies see to that themselves: a Gateway says whose routes it takes, an HTTPProxy,
// a RouteTable or a TraefikService is nothing until its owner's root includes it. In a
// mesh there is no such consent: a route gets the requests to any host that it names.
type inNamespace struct {
	Router
	provider provider.Provider
}

// Supports implements [Router].
func (r inNamespace) Supports(c *flaggerv1.Canary) error {
	if err := r.confined(c); err != nil {
		return err
	}
	return r.Router.Supports(c)
}

const forbidden = "which --no-cross-namespace-refs forbids"

// confined returns a terminal error about what a canary wants of another namespace.
func (r inNamespace) confined(c *flaggerv1.Canary) error {
	s := &c.Spec.Service
	if ref := c.Spec.UpstreamRef; r.provider.Honours(provider.UpstreamRef) && ref != nil && ref.Namespace != "" &&
		ref.Namespace != c.Namespace {
		return terminal("spec.upstreamRef.namespace: Upstream %s/%s is in another namespace, %s; copy it to %s",
			ref.Namespace, ref.Name, forbidden, c.Namespace)
	}
	byGateways := r.provider.Honours(provider.Gateways) && len(s.Gateways) > 0 && !slices.Contains(s.Gateways, mesh)
	if !r.provider.ClaimsHosts || byGateways {
		return nil // each Gateway says whose hosts it takes
	}
	for _, host := range s.Hosts {
		if !ownHost(host, c.Namespace) {
			return terminal("spec.service.hosts: %s is no host of namespace %s, and the whole mesh would come here, "+
				"%s; name a Service of the namespace, or gateways without %s",
				host, c.Namespace, forbidden, mesh)
		}
	}
	return nil
}

// ownHost reports whether a host of the mesh is that of a Service of the namespace:
// `name`, or `name.namespace` and what may follow.
func ownHost(host, namespace string) bool {
	_, rest, qualified := strings.Cut(host, ".")
	if !qualified {
		return host != "*"
	}
	return rest == namespace || rest == namespace+".svc" || strings.HasPrefix(rest, namespace+".svc.")
}
