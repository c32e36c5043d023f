// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// hosts names the three Services of a canary among the destinations of routes.
type hosts struct{ namespace, apex, primary, canary string }

func hostsOf(c *flaggerv1.Canary) hosts {
	apex, primary, canary := c.ServiceNames()
	return hosts{c.Namespace, apex, primary, canary}
}

// weightsOf reads the weights back: those of the last route, which is the one for
// everybody, or for an A/B test the last with both copies. None at all means that
// the route sends no user to either copy.
func (h hosts) weightsOf(routes []rule, c *flaggerv1.Canary) provider.Weights {
	var most provider.Weights
	for _, r := range slices.Backward(routes) {
		both := h.routesTo(r, h.primary) && h.routesTo(r, h.canary)
		one := h.routesTo(r, h.primary) || h.routesTo(r, h.apex)
		w := h.weights(r)
		if both || one && !isABTest(c) {
			return w
		}
		if w.Canary > most.Canary || most == (provider.Weights{}) {
			most = w
		}
	}
	return most
}

// weights reads one route. The apex Service selects the primary.
func (h hosts) weights(r rule) provider.Weights {
	w := percent(h.sum(r, h.apex)+h.sum(r, h.primary), h.sum(r, h.canary))
	w.Mirror = h.mirrored(r)
	return w
}

func (h hosts) mirrored(r rule) bool {
	to, ok := r["mirror"].(map[string]any)
	return ok && h.refersTo(to, h.canary)
}

func (h hosts) routesTo(r rule, service string) bool {
	return slices.ContainsFunc(object.List(r, "route"),
		func(to map[string]any) bool { return h.refersTo(object.CopyMap(to, "destination"), service) })
}

// sum adds up the weights of the destinations that are a Service. One that is
// alone needs no weight to get everything.
func (h hosts) sum(r rule, service string) int64 {
	var total int64
	all := object.List(r, "route")
	for _, to := range all {
		if !h.refersTo(object.CopyMap(to, "destination"), service) {
			continue
		}
		weight, _ := to["weight"].(int64)
		if len(all) == 1 {
			weight = 100
		}
		total += weight
	}
	return total
}

// refersTo knows a Service by its short name, which Istio completes with the namespace
// of the VirtualService, and by the longer ones that people write.
func (h hosts) refersTo(to map[string]any, service string) bool {
	host, _ := to["host"].(string)
	rest, ok := strings.CutPrefix(host, service)
	if !ok {
		return false
	}
	return rest == "" || rest == "."+h.namespace || strings.HasPrefix(rest, "."+h.namespace+".svc")
}
