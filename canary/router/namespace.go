// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// inNamespace is a router of canaries that may not reach beyond their namespace. Most
// proxies see to that themselves: a Gateway of the Gateway API takes routes of other
// namespaces if it says so, an HTTPProxy, a RouteTable or a TraefikService is nothing until
// its owner's root includes it. In a mesh there is no such consent: a route gets the requests
// to any host that it names. Nor is there at a Gateway of Istio, which takes everybody's
// unless it says otherwise.
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
	if !r.provider.ClaimsHosts {
		return nil
	}
	gateways := r.gateways(c)
	for _, name := range gateways {
		if !ownGateway(name, c.Namespace) {
			return terminal("spec.service.gateways: Gateway %s is in another namespace, %s; make one in %s", name, forbidden, c.Namespace)
		}
	}
	if len(gateways) > 0 && !slices.Contains(gateways, mesh) {
		return nil // the namespace's own Gateways say which hosts they take
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

// gateways are those that a canary names anywhere, if the provider knows them.
func (r inNamespace) gateways(c *flaggerv1.Canary) []string {
	if !r.provider.Honours(provider.Gateways) {
		return nil
	}
	all, matches := slices.Clone(c.Spec.Service.Gateways), slices.Clone(c.Spec.Service.Match)
	if c.Spec.Analysis != nil {
		matches = append(matches, c.Spec.Analysis.Match...)
	}
	for i := range matches {
		all = append(all, matches[i].Gateways...)
	}
	return all
}

// ownGateway reports whether a name of Istio's means the mesh or a Gateway of the namespace:
// `name` or `namespace/name`, or of old `name.namespace` and what may follow.
func ownGateway(name, namespace string) bool {
	if of, _, ok := strings.Cut(name, "/"); ok {
		return of == namespace || of == "."
	}
	labels := strings.Split(name, ".")
	return len(labels) == 1 || labels[1] == namespace
}

// ownHost reports whether a host of the mesh is that of a Service of the namespace: `name`,
// or what says that it is.
func ownHost(host, namespace string) bool {
	if !strings.Contains(host, ".") {
		return host != "*"
	}
	return object.IsServiceHost(host, namespace)
}
