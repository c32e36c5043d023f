// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// mesh is Istio's name for all sidecars.
const mesh = "mesh"

// isTCP reports whether the traffic is not HTTP.
func isTCP(c *flaggerv1.Canary) bool { return strings.EqualFold(c.Spec.Service.AppProtocol, "tcp") }

// protocol is the field of a VirtualService that has the canary's routes, and the
// one that must not have any.
func protocol(c *flaggerv1.Canary) (used, unused string) {
	if isTCP(c) {
		return "tcp", "http"
	}
	return "http", "tcp"
}

// routesOf returns copies of the routes that carry the weights.
func routesOf(vs *unstructured.Unstructured, c *flaggerv1.Canary) []rule {
	used, _ := protocol(c)
	return object.CopyList(vs.Object, "spec", used)
}

// renderVirtualService writes hosts, gateways and routes.
func renderVirtualService(vs *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	routes, err := virtualRoutes(c, w)
	if err != nil {
		return err
	}
	used, unused := protocol(c)
	unstructured.RemoveNestedField(vs.Object, "spec", unused)
	object.Put(vs.Object, routes, "spec", used)
	hosts, gateways := hostsAndGateways(c)
	object.Put(vs.Object, hosts, "spec", "hosts")
	if len(gateways) == 0 {
		unstructured.RemoveNestedField(vs.Object, "spec", "gateways")
		return nil
	}
	object.Put(vs.Object, gateways, "spec", "gateways")
	return nil
}

// hostsAndGateways returns for whom the routes are: always also for those who call the apex
// Service by its name. One that others delegate to must have neither.
func hostsAndGateways(c *flaggerv1.Canary) (hosts, gateways []string) {
	if c.Spec.Service.Delegation {
		return []string{}, nil
	}
	apex, _, _ := c.ServiceNames()
	hosts, gateways = slices.Clone(c.Spec.Service.Hosts), c.Spec.Service.Gateways
	if !slices.Contains(hosts, apex) && !slices.Contains(hosts, "*") {
		hosts = append(hosts, apex)
	}
	if len(gateways) == 0 {
		gateways = []string{mesh}
	}
	return hosts, gateways
}

// virtualRoutes makes the routes in the order in which Flagger writes them; the
// first that matches wins.
func virtualRoutes(c *flaggerv1.Canary, w provider.Weights) ([]rule, error) {
	if isTCP(c) {
		return []rule{tcpRoute(c, w)}, nil
	}
	base, err := httpRoute(c)
	if err != nil {
		return nil, err
	}
	weighted := without(base)
	object.PutList(weighted, "route", destinations(c, w.Primary, w.Canary))
	if w.Mirror {
		mirrorRoute(weighted, c)
	}
	chosen, err := virtualMatches(c.Spec.Analysis)
	if err != nil {
		return nil, err
	}
	s, bound := sessionOf(c, w)
	switch {
	case len(chosen) > 0:
		object.PutList(weighted, "match", narrow(object.List(base, "match"), chosen, addConditions))
		object.PutList(base, "route", destinations(c, provider.ToPrimary.Primary, provider.ToPrimary.Canary)[:1])
		return []rule{weighted, base}, nil
	case bound && w.Canary == 0:
		return append(dropMeshCookies(weighted, s), weighted), nil
	case bound:
		return append(stickToHost(base, c, s), setMeshCookies(weighted, s)), nil
	default:
		return []rule{weighted}, nil
	}
}

// httpRoute is the route for everybody, without destinations.
func httpRoute(c *flaggerv1.Canary) (rule, error) {
	s := &c.Spec.Service
	matches, err := allJSON(s.Match, nil)
	if err != nil {
		return nil, err
	}
	out := rule{}
	object.PutList(out, "match", matches)
	if s.Timeout != "" {
		out["timeout"] = s.Timeout
	}
	for key, part := range map[string]any{
		"retries": orNil(s.Retries), "corsPolicy": orNil(s.CorsPolicy), "headers": orNil(s.Headers),
		"rewrite": orNil(s.Rewrite),
	} {
		if part == nil {
			continue
		}
		if out[key], err = asJSON(part); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// orNil tells a missing part from one that is there.
func orNil[T any](part *T) any {
	if part == nil {
		return nil
	}
	return part
}

// virtualMatches are the requests of an A/B test.
func virtualMatches(a *flaggerv1.CanaryAnalysis) ([]map[string]any, error) {
	if a == nil {
		return nil, nil
	}
	return allJSON(a.Match, nil)
}

// mirrorRoute copies requests to the canary: all of them, or a percentage.
func mirrorRoute(r rule, c *flaggerv1.Canary) {
	_, _, canary := c.ServiceNames()
	r["mirror"] = destination(c, canary, 0)["destination"]
	if a := c.Spec.Analysis; a != nil && a.MirrorWeight > 0 {
		r["mirrorPercentage"] = map[string]any{"value": int64(a.MirrorWeight)}
	}
}

// tcpRoute matches connections, of which less is known than of requests.
func tcpRoute(c *flaggerv1.Canary, w provider.Weights) rule {
	var matches []map[string]any
	for i := range c.Spec.Service.Match {
		m, match := &c.Spec.Service.Match[i], map[string]any{}
		if m.Port != 0 {
			match["port"] = int64(m.Port)
		}
		if len(m.Gateways) > 0 {
			match["gateways"] = object.Items(m.Gateways)
		}
		if len(m.SourceLabels) > 0 {
			match["sourceLabels"] = values(m.SourceLabels)
		}
		if m.SourceNamespace != "" {
			match["sourceNamespace"] = m.SourceNamespace
		}
		matches = append(matches, match)
	}
	out := rule{}
	object.PutList(out, "match", matches)
	object.PutList(out, "route", destinations(c, w.Primary, w.Canary))
	return out
}

// destinations are both copies, the primary first.
func destinations(c *flaggerv1.Canary, ofPrimary, ofCanary int) []map[string]any {
	_, primary, canary := c.ServiceNames()
	return []map[string]any{destination(c, primary, ofPrimary), destination(c, canary, ofCanary)}
}

// destination names the port where the Service may have several and an ingress
// gateway, or a root VirtualService, has to know which.
func destination(c *flaggerv1.Canary, host string, weight int) map[string]any {
	s := &c.Spec.Service
	to := map[string]any{"host": host}
	if s.PortDiscovery && (s.Delegation || len(s.Gateways) > 0 && s.Gateways[0] != mesh) {
		to["port"] = map[string]any{"number": int64(s.Port)}
	}
	return map[string]any{"destination": to, "weight": int64(weight)}
}

// releaseVirtualService sends everybody to the apex Service, if they go to one of
// the copies now.
func releaseVirtualService(vs *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, _, _ := c.ServiceNames()
	routes, h := routesOf(vs, c), hostsOf(c)
	if !slices.ContainsFunc(routes, func(r rule) bool { return h.routesTo(r, h.primary) || h.routesTo(r, h.canary) }) {
		return nil
	}
	last := without(routes[len(routes)-1], "mirror", "mirrorPercentage")
	object.PutList(last, "route", []map[string]any{destination(c, apex, 100)})
	object.EnableFlux(vs)
	used, _ := protocol(c)
	object.Put(vs.Object, []rule{last}, "spec", used)
	return nil
}

func values(items map[string]string) map[string]any {
	out := map[string]any{}
	for key, value := range items {
		out[key] = value
	}
	return out
}
