package router

import (
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// hosts names the three Services of a canary among the destinations of routes.
type hosts struct{ namespace, apex, primary, canary string }

func hostsOf(c *flaggerv1.Canary) hosts {
	apex, primary, canary := c.ServiceNames()
	return hosts{c.Namespace, apex, primary, canary}
}

// weightsOf reads the weights back: those of the last route with both copies,
// since the routes of session cookies come before it. None at all means that the
// routes send no user to either copy.
func (h hosts) weightsOf(routes []rule) Weights {
	var other Weights
	for _, r := range slices.Backward(routes) {
		primary, canary := h.sum(r, h.apex)+h.sum(r, h.primary), h.sum(r, h.canary)
		w := percent(primary, canary)
		w.Mirror = h.mirrored(r)
		switch {
		case h.has(r, h.primary) && h.has(r, h.canary):
			return w
		case w.Canary > other.Canary || other == (Weights{}):
			other = w
		}
	}
	return other
}

func (h hosts) mirrored(r rule) bool {
	to, ok := r["mirror"].(map[string]any)
	return ok && h.is(to, h.canary)
}

func (h hosts) has(r rule, service string) bool {
	return slices.ContainsFunc(list(r, "route"), func(to map[string]any) bool { return h.is(child(to, "destination"), service) })
}

// sum adds up the weights of the destinations that are a Service. One that is
// alone needs no weight to get everything.
func (h hosts) sum(r rule, service string) int64 {
	var total int64
	all := list(r, "route")
	for _, to := range all {
		if !h.is(child(to, "destination"), service) {
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

// is knows a Service by its short name, which Istio completes with the namespace
// of the VirtualService, and by the longer ones that people write.
func (h hosts) is(to map[string]any, service string) bool {
	host, _ := to["host"].(string)
	rest, ok := strings.CutPrefix(host, service)
	if !ok {
		return false
	}
	return rest == "" || rest == "."+h.namespace || strings.HasPrefix(rest, "."+h.namespace+".svc")
}
