// SPDX-License-Identifier: Apache-2.0

package router

import (
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// rule is a rule of a route as JSON. HTTPRoutes and GRPCRoutes have matches,
// filters and backendRefs in common, which is all that weights need.
type rule = map[string]any

// rulesOf returns copies of a route's rules.
func rulesOf(route *unstructured.Unstructured) []rule {
	return object.CopyList(route.Object, "spec", "rules")
}

func setRules(route *unstructured.Unstructured, rules []rule) {
	object.Put(route.Object, rules, "spec", "rules")
}

// asJSON turns a typed part of a route into JSON.
func asJSON(part any) (map[string]any, error) {
	return runtime.DefaultUnstructuredConverter.ToUnstructured(part)
}

// without returns a copy of a rule that lacks some fields.
func without(r rule, keys ...string) rule {
	copied := runtime.DeepCopyJSON(r)
	for _, key := range keys {
		delete(copied, key)
	}
	return copied
}

// backends names the three Services of a canary among the backends of rules.
type backends struct {
	namespace             string
	apex, primary, canary string
}

func backendsOf(c *flaggerv1.Canary) backends {
	b := backends{namespace: c.Namespace}
	b.apex, b.primary, b.canary = c.ServiceNames()
	return b
}

// find returns the backend of a rule that is a Service.
func (b backends) find(r rule, service string) map[string]any {
	for _, ref := range object.List(r, "backendRefs") {
		if b.refersTo(ref, service) {
			return ref
		}
	}
	return nil
}

func (b backends) refersTo(ref map[string]any, service string) bool {
	text := func(key, otherwise string) string {
		if value, ok := ref[key].(string); ok {
			return value
		}
		return otherwise
	}
	return text("name", "") == service && text("group", "") == "" &&
		text("kind", "Service") == "Service" && text("namespace", b.namespace) == b.namespace
}

// uses reports whether a rule sends traffic to any of the three.
func (b backends) uses(r rule) bool {
	return b.find(r, b.apex) != nil || b.find(r, b.primary) != nil || b.find(r, b.canary) != nil
}

// split tells the rules for the canary's three Services from the others.
func (b backends) split(rules []rule) (ours, others []rule) {
	for _, r := range rules {
		if b.uses(r) {
			ours = append(ours, r)
		} else {
			others = append(others, r)
		}
	}
	return ours, others
}

// weightsOf reads the weights back from a route's rules. None at all means that
// the route sends no user to either copy. Without an A/B test they are those of
// the rule for everybody, also while the rules of one are still there: its users
// chose the canary, the others did not.
func weightsOf(rules []rule, c *flaggerv1.Canary) provider.Weights {
	b := backendsOf(c)
	if c.Spec.HTTPRouteRef != nil {
		if !isABTest(c) {
			rules = b.withoutABTest(rules)
		}
		return b.mostOf(slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return !b.shared(r) }))
	}
	ours, _ := b.split(rules)
	for _, r := range slices.Backward(ours) {
		both := b.find(r, b.primary) != nil && b.find(r, b.canary) != nil
		one := b.find(r, b.primary) != nil || b.find(r, b.apex) != nil
		if both || one && !isABTest(c) {
			return b.weights(r)
		}
	}
	return b.mostOf(ours)
}

// mostOf returns the weights of the rule that sends the largest share to the canary, as a
// route is only off the canary when all of its rules are: of one rule for /v1 with weights
// 100:0 and one for /v2 with 80:20 it is 80:20.
func (b backends) mostOf(ours []rule) provider.Weights {
	var most provider.Weights
	for _, r := range ours {
		if w := b.weights(r); most.Primary == 0 && most.Canary == 0 || w.Canary > most.Canary {
			most = w
		}
	}
	return most
}

// weights reads one rule. The apex Service selects the primary.
func (b backends) weights(r rule) provider.Weights {
	w := percent(weight(b.find(r, b.apex))+weight(b.find(r, b.primary)), weight(b.find(r, b.canary)))
	for _, filter := range object.List(r, "filters") {
		w.Mirror = w.Mirror || b.mirrors(filter)
	}
	return w
}

// mirrors reports whether a filter copies requests to the canary.
func (b backends) mirrors(filter map[string]any) bool {
	ref, _, _ := unstructured.NestedMap(filter, "requestMirror", "backendRef")
	return ref != nil && b.refersTo(ref, b.canary)
}

// percent makes weights that add up to 100 of any two: 1 and 1, say, which is how
// people write halves. Two that add up to nothing stay nothing.
func percent(primary, canary int64) provider.Weights {
	total := primary + canary
	if total <= 0 {
		return provider.Weights{}
	}
	share := int(math.Round(100 * float64(canary) / float64(total)))
	return provider.Weights{Primary: 100 - share, Canary: share}
}

// weight is 1 where a backend has none, which is the API's default, and 0 for no
// backend.
func weight(ref map[string]any) int64 {
	if ref == nil {
		return 0
	}
	if w, ok := ref["weight"].(int64); ok {
		return w
	}
	return 1
}

// backend is a reference to a Service with everything that the API server would
// fill in, so that an unchanged canary renders an unchanged route.
func backend(name string, port int32, weight int) map[string]any {
	return map[string]any{"group": "", "kind": "Service", "name": name, "port": int64(port), "weight": int64(weight)}
}

// narrow returns the requests that fit one of each, every pair. join adds the
// conditions of the chosen ones.
func narrow(everyone, chosen []map[string]any, join func(into, from map[string]any)) []map[string]any {
	if len(everyone) == 0 {
		return chosen
	}
	var out []map[string]any
	for _, from := range chosen {
		for _, s := range everyone {
			pair := runtime.DeepCopyJSON(s)
			join(pair, runtime.DeepCopyJSON(from))
			out = append(out, pair)
		}
	}
	return out
}

// combine adds conditions; only one about the very same header or parameter takes
// the other's place. Gateways prefer the rule with more of them, so that a rule
// for chosen users must not have fewer than the one for everybody.
func combine(into, from map[string]any) {
	for key, value := range from {
		if _, isList := value.([]any); !isList {
			into[key] = value
			continue
		}
		added := object.List(from, key)
		kept := slices.DeleteFunc(object.List(into, key), func(old map[string]any) bool {
			return slices.ContainsFunc(added, func(item map[string]any) bool { return sameName(item, old) })
		})
		into[key] = object.Items(append(kept, added...))
	}
}

// sameName reports whether two conditions are about the same header or parameter.
func sameName(a, b map[string]any) bool {
	x, _ := a["name"].(string)
	y, _ := b["name"].(string)
	return strings.EqualFold(x, y)
}
