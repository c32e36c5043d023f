package router

import (
	"maps"
	"slices"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// handsOff keeps Flux from taking a generated object for a part of its own.
var handsOff = map[string]string{
	"kustomize.toolkit.fluxcd.io/reconcile": "disabled",
	"helm.toolkit.fluxcd.io/driftDetection": "disabled",
}

// renderRoute writes into route what the canary says about it, with weights w.
// What the API server defaults is spelled out, so that an unchanged canary
// renders an unchanged route.
func renderRoute(route *gatewayv1.HTTPRoute, c *flaggerv1.Canary, w Weights) error {
	rules, err := renderRules(c, w)
	if err != nil {
		return err
	}
	if apex := c.Spec.Service.Apex; apex != nil {
		route.Labels = merge(route.Labels, apex.Labels)
		route.Annotations = merge(route.Annotations, apex.Annotations)
	}
	route.Annotations = merge(route.Annotations, handsOff)
	route.Spec.ParentRefs = parentRefs(c.Spec.Service.GatewayRefs)
	route.Spec.Hostnames = nil
	for _, host := range c.Spec.Service.Hosts {
		route.Spec.Hostnames = append(route.Spec.Hostnames, gatewayv1.Hostname(host))
	}
	ours, others := splitRules(route.Spec.Rules, c)
	keepUnmanaged(rules, ours)
	route.Spec.Rules = append(rules, others...)
	return nil
}

// renderRules returns the weighted rule and, for an A/B test, behind it the rule
// that keeps everybody who does not match on the primary.
func renderRules(c *flaggerv1.Canary, w Weights) ([]gatewayv1.HTTPRouteRule, error) {
	_, primary, canary := c.ServiceNames()
	port := c.Spec.Service.Port
	everyone, err := serviceMatches(c)
	if err != nil {
		return nil, err
	}
	filters, err := renderFilters(&c.Spec.Service)
	if err != nil {
		return nil, err
	}
	weighted := gatewayv1.HTTPRouteRule{
		Matches:     everyone,
		Filters:     slices.Clone(filters),
		Timeouts:    timeouts(&c.Spec.Service),
		BackendRefs: []gatewayv1.HTTPBackendRef{backend(primary, port, w.Primary), backend(canary, port, w.Canary)},
	}
	if w.Mirror {
		weighted.Filters = append(weighted.Filters, mirrorTo(canary, c))
	}
	chosen, err := analysisMatches(c)
	if err != nil || len(chosen) == 0 {
		return []gatewayv1.HTTPRouteRule{weighted}, err
	}
	weighted.Matches = narrow(everyone, chosen)
	return []gatewayv1.HTTPRouteRule{weighted, {
		Matches:     everyone,
		Filters:     filters,
		Timeouts:    timeouts(&c.Spec.Service),
		BackendRefs: []gatewayv1.HTTPBackendRef{backend(primary, port, stable.Primary)},
	}}, nil
}

// weightsOf reads the weights back. A route without the weighted rule, or none
// at all, is stable.
func weightsOf(route *gatewayv1.HTTPRoute, c *flaggerv1.Canary) Weights {
	if route == nil {
		return stable
	}
	_, primary, canary := c.ServiceNames()
	for _, rule := range route.Spec.Rules {
		p, c := find(rule.BackendRefs, primary), find(rule.BackendRefs, canary)
		if p == nil || c == nil {
			continue
		}
		w := Weights{Primary: weight(p), Canary: weight(c)}
		for _, filter := range rule.Filters {
			w.Mirror = w.Mirror || filter.RequestMirror != nil && string(filter.RequestMirror.BackendRef.Name) == canary
		}
		return w
	}
	return stable
}

// releaseRoute sends what went to the canary's Services to the apex Service.
func releaseRoute(route *gatewayv1.HTTPRoute, c *flaggerv1.Canary) {
	apex, _, _ := c.ServiceNames()
	ours, others := splitRules(route.Spec.Rules, c)
	if len(ours) == 0 {
		return
	}
	kept := *ours[len(ours)-1].DeepCopy()
	kept.BackendRefs = []gatewayv1.HTTPBackendRef{backend(apex, c.Spec.Service.Port, 100)}
	kept.Filters, _ = renderFilters(&c.Spec.Service)
	route.Spec.Rules = append([]gatewayv1.HTTPRouteRule{kept}, others...)
	for key := range handsOff {
		delete(route.Annotations, key)
	}
}

// splitRules tells the rules for the canary's three Services from the others.
func splitRules(rules []gatewayv1.HTTPRouteRule, c *flaggerv1.Canary) (ours, others []gatewayv1.HTTPRouteRule) {
	apex, primary, canary := c.ServiceNames()
	for _, rule := range rules {
		if find(rule.BackendRefs, apex) != nil || find(rule.BackendRefs, primary) != nil || find(rule.BackendRefs, canary) != nil {
			ours = append(ours, rule)
		} else {
			others = append(others, rule)
		}
	}
	return ours, others
}

// keepUnmanaged carries over what a canary cannot say about a rule, and which
// therefore somebody else said.
func keepUnmanaged(rendered, live []gatewayv1.HTTPRouteRule) {
	for i := range min(len(rendered), len(live)) {
		rendered[i].Name = live[i].Name
		rendered[i].Retry = live[i].Retry
		rendered[i].SessionPersistence = live[i].SessionPersistence
	}
}

func parentRefs(refs []gatewayv1.ParentReference) []gatewayv1.ParentReference {
	var out []gatewayv1.ParentReference
	for _, ref := range refs {
		ref.Group = ptr.To(ptr.Deref(ref.Group, gatewayv1.GroupName))
		ref.Kind = ptr.To(ptr.Deref(ref.Kind, "Gateway"))
		out = append(out, ref)
	}
	return out
}

func backend(name string, port int32, weight int) gatewayv1.HTTPBackendRef {
	return gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
		BackendObjectReference: service(name, port),
		Weight:                 ptr.To(int32(weight)),
	}}
}

func service(name string, port int32) gatewayv1.BackendObjectReference {
	return gatewayv1.BackendObjectReference{
		Group: ptr.To(gatewayv1.Group("")),
		Kind:  ptr.To(gatewayv1.Kind("Service")),
		Name:  gatewayv1.ObjectName(name),
		Port:  ptr.To(port),
	}
}

func find(refs []gatewayv1.HTTPBackendRef, name string) *gatewayv1.HTTPBackendRef {
	i := slices.IndexFunc(refs, func(ref gatewayv1.HTTPBackendRef) bool { return string(ref.Name) == name })
	if i < 0 {
		return nil
	}
	return &refs[i]
}

// weight is 1 where a backend has none: that is the API's default.
func weight(ref *gatewayv1.HTTPBackendRef) int { return int(ptr.Deref(ref.Weight, 1)) }

// merge overlays extra onto base; neither is modified.
func merge(base, extra map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, base)
	maps.Copy(out, extra)
	return out
}
