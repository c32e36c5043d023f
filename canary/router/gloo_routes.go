// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// glooFormat is what is in a RouteTable.
type glooFormat struct{}

var glooBackend = backendNameAt("destination", "upstream", "name")

func (glooFormat) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return object.NewRef(glooTable, c.Namespace, apex)
}

// render puts the canary's routes where they were: in a RouteTable, the first
// route that fits a request wins. New ones go behind those of others.
func (glooFormat) render(d draft, w provider.Weights) error {
	matchers, err := glooMatchers(d.canary)
	if err != nil {
		return err
	}
	live := object.List(d.Object, "spec", "routes")
	ours := slices.DeleteFunc(slices.Clone(live), func(route entry) bool { return !glooOurs(route, d.canary) })
	var routes []entry
	if len(matchers) > 0 {
		chosen := glooRoute(d.canary, sameAs(ours, 0), w)
		object.Put(chosen, matchers, "matchers")
		routes, w = append(routes, chosen), provider.ToPrimary
	}
	everyone := glooRoute(d.canary, sameAs(ours, len(routes)), w)
	delete(everyone, "matchers")
	routes = append(routes, everyone)
	apexMetadata(d)
	place := slices.IndexFunc(live, func(route entry) bool { return glooOurs(route, d.canary) })
	others := slices.DeleteFunc(live, func(route entry) bool { return glooOurs(route, d.canary) })
	if place < 0 {
		place = len(others)
	}
	object.Put(d.Object, slices.Insert(others, place, routes...), "spec", "routes")
	return nil
}

func glooRoute(c *flaggerv1.Canary, route entry, w provider.Weights) entry {
	names := glooNames(c)
	live := object.List(route, "routeAction", "multi", "destinations")
	route["inheritablePathMatchers"] = true
	route["routeAction"] = entry{"multi": entry{"destinations": []any{
		glooEntry(c, liveEntry(live, glooBackend, names.primary, names.canary), names.primary, w.Primary),
		glooEntry(c, liveEntry(live, glooBackend, names.canary, names.primary), names.canary, w.Canary),
	}}}
	return route
}

func glooEntry(c *flaggerv1.Canary, e entry, upstream string, weight int) entry {
	object.Put(e, upstream, "destination", "upstream", "name")
	object.Put(e, c.Namespace, "destination", "upstream", "namespace")
	e["weight"] = int64(weight)
	return e
}

// glooOurs reports whether a route leads to one of the canary's three Services.
func glooOurs(route entry, c *flaggerv1.Canary) bool {
	names := glooNames(c)
	destinations := object.List(route, "routeAction", "multi", "destinations")
	if one, ok := object.Nested(route, "routeAction", "single").(entry); ok {
		destinations = append(destinations, entry{"destination": one})
	}
	return slices.ContainsFunc(destinations, func(e entry) bool {
		return slices.Contains([]string{names.apex, names.primary, names.canary}, glooBackend(e))
	})
}

// weights are those of the first route. When it is for chosen users only, and the
// canary no longer chooses any, they say nothing about the others.
func (glooFormat) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	names := glooNames(c)
	for _, route := range object.List(live.Object, "spec", "routes") {
		w, ok := weightsIn(object.List(route, "routeAction", "multi", "destinations"), glooBackend, names.primary, names.canary)
		if ok && (isABTest(c) || len(object.List(route, "matchers")) == 0) {
			return w, nil
		}
	}
	return provider.ToPrimary, nil
}

func (glooFormat) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	names := glooNames(c)
	routes := object.List(live.Object, "spec", "routes")
	last := -1
	for i, route := range routes {
		if glooOurs(route, c) {
			last = i
		}
	}
	var kept []entry
	for i, route := range routes {
		if glooOurs(route, c) && i != last {
			continue
		}
		if i == last {
			e := liveEntry(object.List(route, "routeAction", "multi", "destinations"), glooBackend, names.primary, names.canary)
			route["routeAction"] = entry{"multi": entry{"destinations": []any{glooEntry(c, e, names.primary, provider.ToPrimary.Primary)}}}
		}
		kept = append(kept, route)
	}
	object.Put(live.Object, kept, "spec", "routes")
	return nil
}

// Supports refuses what a RouteTable as Flagger has it cannot say.
func (glooFormat) Supports(c *flaggerv1.Canary) error {
	_, err := glooMatchers(c)
	return err
}

// glooMatchers are the users of an A/B test: one matcher for each entry of its
// match, of which any may fit.
func glooMatchers(c *flaggerv1.Canary) ([]entry, error) {
	if !isABTest(c) {
		return nil, nil
	}
	var out []entry
	for i, m := range c.Spec.Analysis.Match {
		field := fmt.Sprintf("spec.analysis.match[%d]", i)
		if err := onlyHeaders(field, "gloo", &m, "method"); err != nil {
			return nil, err
		}
		matcher := entry{}
		if m.Method != nil {
			if m.Method.Exact == "" {
				return nil, terminal("%s.method: provider gloo matches only an exact method", field)
			}
			matcher["methods"] = []any{m.Method.Exact}
		}
		var headers []any
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			headers = append(headers, glooHeader(name, m.Headers[name]))
		}
		if len(headers) > 0 {
			matcher["headers"] = headers
		}
		if len(matcher) == 0 {
			return nil, terminal("%s: provider gloo needs a header or a method to choose users by", field)
		}
		out = append(out, matcher)
	}
	return out, nil
}

// glooHeader without a value asks that the header be there. A regular expression
// must fit the whole value.
func glooHeader(name string, value flaggerv1.StringMatch) entry {
	header := entry{"name": name}
	switch {
	case value.Exact != "":
		header["value"] = value.Exact
	case value.Regex != "":
		header["value"], header["regex"] = value.Regex, true
	case value.Prefix != "":
		header["value"], header["regex"] = regexp.QuoteMeta(value.Prefix)+".*", true
	case value.Suffix != "":
		header["value"], header["regex"] = ".*"+regexp.QuoteMeta(value.Suffix), true
	}
	return header
}

// glooStates are those that Gloo once wrote as numbers.
var glooStates = map[string]string{"0": "Pending", "1": "Accepted", "2": "Rejected", "3": "Warning"}

// notAccepted implements [statusFormat]: each installation of Gloo has a status of its own
// in the object, older ones the only one.
func (glooFormat) notAccepted(live *unstructured.Unstructured) *NotAccepted {
	statuses, _ := object.Nested(live.Object, "status", "statuses").(entry)
	all := []entry{{"": object.Nested(live.Object, "status")}, statuses}
	for _, of := range all {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			status, _ := of[name].(entry)
			state := fmt.Sprint(status["state"])
			if known, ok := glooStates[state]; ok {
				state = known
			}
			if state == "Rejected" {
				return rejected(live, "Gloo", object.Text(status, "reason"))
			}
		}
	}
	return nil
}
