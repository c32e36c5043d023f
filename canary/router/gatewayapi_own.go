// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// renderOwn writes weights into a route of the owner's (spec.httpRouteRef), and
// leaves alone whatever it can:
//
//	matches: /v1   -> app            matches: /v1 -> app-primary 80, app-canary 20
//	matches: /docs -> docs    ==>    matches: /docs -> docs
//
// Rules are the canary's to change if they send traffic to the apex Service, or
// to both copies; one for a single copy is how an owner looks at it, and stays.
// Of the rules only backends, the filter that mirrors and, for an A/B test, an
// added rule before it are the canary's. Metadata is not touched at all.
func renderOwn(route *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	if route.GetResourceVersion() == "" {
		return fmt.Errorf("spec.httpRouteRef: %s %s/%s %w; create it, or correct the reference",
			provider.KindOfRoute(c), c.Namespace, c.Spec.HTTPRouteRef.Name, object.ErrMissing)
	}
	b := backendsOf(c)
	chosen, err := analysisMatches(c)
	if err != nil {
		return err
	}
	var out []rule
	found := false
	for _, r := range b.withoutABTest(rulesOf(route)) {
		if !b.shared(r) {
			out = append(out, r)
			continue
		}
		found = true
		rules, err := b.splitRule(r, c, w, chosen)
		if err != nil {
			return fmt.Errorf("%s %s: %w", route.GetKind(), client.ObjectKeyFromObject(route), err)
		}
		out = append(out, rules...)
	}
	if !found {
		return terminal("%s %s of spec.httpRouteRef has no rule that sends traffic to Service %s",
			route.GetKind(), client.ObjectKeyFromObject(route), b.apex)
	}
	setRules(route, out)
	return nil
}

// releaseOwn sends what went to the two copies to the apex Service again.
func releaseOwn(route *unstructured.Unstructured, c *flaggerv1.Canary) error {
	b := backendsOf(c)
	rules := b.withoutABTest(rulesOf(route))
	for _, r := range rules {
		if b.shared(r) {
			apex := b.backendLike(r, b.apex, b.apex, b.primary, b.canary)
			delete(apex, "weight")
			object.PutList(r, "backendRefs", []map[string]any{apex})
			b.unmirror(r)
		}
	}
	setRules(route, rules)
	return nil
}

// shared reports whether a rule is for the users of the canary.
func (b backends) shared(r rule) bool {
	return b.find(r, b.apex) != nil || b.find(r, b.primary) != nil && b.find(r, b.canary) != nil
}

// splitRule makes the rules of one of the owner's.
func (b backends) splitRule(r rule, c *flaggerv1.Canary, w provider.Weights, chosen []map[string]any) ([]rule, error) {
	for _, ref := range object.List(r, "backendRefs") {
		if !b.refersTo(ref, b.apex) && !b.refersTo(ref, b.primary) && !b.refersTo(ref, b.canary) {
			return nil, terminal("a rule sends traffic to %v as well as to %s; give them rules of their own", ref["name"], b.apex)
		}
	}
	primary, canary := b.backendLike(r, b.primary, b.primary, b.apex), b.backendLike(r, b.canary, b.canary, b.primary, b.apex)
	b.unmirror(r)
	if w.Mirror {
		to := service(b.canary, c.Spec.Service.Port)
		if port, ok := canary["port"].(int64); ok {
			to.Port = new(int32(port))
		}
		mirror, err := mirrorTo(to, c)
		if err != nil {
			return nil, err
		}
		object.PutList(r, "filters", append(object.List(r, "filters"), mirror))
	}
	if len(chosen) == 0 {
		object.PutList(r, "backendRefs", []map[string]any{weigh(primary, w.Primary), weigh(canary, w.Canary)})
		return []rule{r}, nil
	}
	object.PutList(r, "backendRefs", []map[string]any{weigh(primary, provider.ToPrimary.Primary), weigh(canary, provider.ToPrimary.Canary)})
	if w.Canary == 0 {
		return []rule{r}, nil
	}
	added := without(r, "name")
	object.PutList(added, "matches", narrow(object.List(r, "matches"), chosen, combine))
	object.PutList(added, "backendRefs", []map[string]any{weigh(canary, w.Canary), weigh(primary, w.Primary)})
	return append(onePrefix(added), r), nil
}

// backendLike returns a backend for a Service that has everything else of the first of
// some backends that the rule has: its port, its filters.
func (b backends) backendLike(r rule, service string, models ...string) map[string]any {
	for _, model := range models {
		if ref := b.find(r, model); ref != nil {
			copied := maps.Clone(ref)
			copied["name"] = service
			return copied
		}
	}
	return nil
}

func weigh(ref map[string]any, weight int) map[string]any {
	ref = maps.Clone(ref)
	ref["weight"] = int64(weight)
	return ref
}

// unmirror removes the filter that copies requests to the canary.
func (b backends) unmirror(r rule) {
	if filters := object.List(r, "filters"); len(filters) > 0 {
		object.PutList(r, "filters", slices.DeleteFunc(filters, b.mirrors))
	}
}

// withoutABTest leaves out the rules that were added for an A/B test. They name the canary
// first, which nothing else here does, and are otherwise copies of a rule behind
// them.
func (b backends) withoutABTest(rules []rule) []rule {
	var out []rule
	for i, r := range rules {
		refs := object.List(r, "backendRefs")
		added := len(refs) == 2 && b.refersTo(refs[0], b.canary) && b.refersTo(refs[1], b.primary)
		if !added || !slices.ContainsFunc(rules[i+1:], func(other rule) bool { return b.shared(other) && sameButMatches(r, other) }) {
			out = append(out, r)
		}
	}
	return out
}

func sameButMatches(a, b rule) bool {
	keys := []string{"name", "matches", "backendRefs"}
	return equality.Semantic.DeepEqual(without(a, keys...), without(b, keys...))
}
