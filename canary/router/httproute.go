// SPDX-License-Identifier: Apache-2.0

package router

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// renderRoute writes into route what the canary says about it, with weights w.
// What the API server defaults is spelled out, so that an unchanged canary
// renders an unchanged route.
func renderRoute(route *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	if apex := c.Spec.Service.Apex; apex != nil && len(apex.Labels) > 0 {
		route.SetLabels(object.Merge(route.GetLabels(), apex.Labels))
	}
	route.SetAnnotations(object.Merge(route.GetAnnotations(), annotations(c)))
	if err := renderHead(route, c); err != nil {
		return err
	}
	base, err := baseRule(c)
	if err != nil {
		return err
	}
	ours, others := backendsOf(c).split(rulesOf(route))
	keepUnmanaged(base, ours)
	rules, err := spread(base, c, w)
	if err != nil {
		return err
	}
	setRules(route, append(rules, others...))
	return nil
}

// annotations of generated objects.
func annotations(c *flaggerv1.Canary) map[string]string {
	if c.Spec.Service.Apex == nil {
		return object.FluxDisabled()
	}
	return object.Merge(c.Spec.Service.Apex.Annotations, object.FluxDisabled())
}

// renderHead writes the Gateways and hosts.
func renderHead(route *unstructured.Unstructured, c *flaggerv1.Canary) error {
	var parents []map[string]any
	for _, ref := range c.Spec.Service.GatewayRefs {
		ref.Group = ptr.To(ptr.Deref(ref.Group, gatewayv1.GroupName))
		ref.Kind = ptr.To(ptr.Deref(ref.Kind, "Gateway"))
		parent, err := asJSON(&ref)
		if err != nil {
			return err
		}
		parents = append(parents, parent)
	}
	object.Put(route.Object, parents, "spec", "parentRefs")
	if len(c.Spec.Service.Hosts) == 0 {
		unstructured.RemoveNestedField(route.Object, "spec", "hostnames")
		return nil
	}
	object.Put(route.Object, c.Spec.Service.Hosts, "spec", "hostnames")
	return nil
}

// baseRule is the rule of the route for everybody, without backends.
func baseRule(c *flaggerv1.Canary) (rule, error) {
	if provider.KindOfRoute(c) == provider.GRPCRoute {
		return grpcRule(c)
	}
	matches, err := serviceMatches(c)
	if err != nil {
		return nil, err
	}
	filters, err := renderFilters(&c.Spec.Service)
	if err != nil {
		return nil, err
	}
	return asJSON(&gatewayv1.HTTPRouteRule{Matches: matches, Filters: filters, Timeouts: timeouts(&c.Spec.Service)})
}

// keepUnmanaged carries over what a canary cannot say about a rule, and which
// therefore somebody else said. The last rule is the one for everybody.
func keepUnmanaged(base rule, live []rule) {
	if len(live) == 0 {
		return
	}
	last := without(live[len(live)-1], "matches", "filters", "timeouts", "backendRefs")
	maps.Copy(base, last)
}

// releaseRoute sends what went to the canary's Services to the apex Service.
func releaseRoute(route *unstructured.Unstructured, c *flaggerv1.Canary) error {
	ours, others := backendsOf(c).split(rulesOf(route))
	if len(ours) == 0 {
		return nil
	}
	base, err := baseRule(c)
	if err != nil {
		return err
	}
	keepUnmanaged(base, ours)
	apex, _, _ := c.ServiceNames()
	base["backendRefs"] = []any{backend(apex, c.Spec.Service.Port, 100)}
	object.EnableFlux(route)
	setRules(route, append(onePrefix(base), others...))
	return nil
}
