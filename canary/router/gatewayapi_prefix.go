// SPDX-License-Identifier: Apache-2.0

package router

import (
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// onePrefix makes of a rule that replaces the prefix of the path one for each of its
// matches, which means the same: the API server wants to know of such a rule which
// prefix it is. The name stays with the last, since no two may have it.
func onePrefix(r rule) []rule {
	matches := object.List(r, "matches")
	if len(matches) < 2 || !replacesPrefix(r) {
		return []rule{r}
	}
	var out []rule
	for i, match := range matches {
		one := without(r)
		if i < len(matches)-1 {
			delete(one, "name")
		}
		object.PutList(one, "matches", []map[string]any{match})
		out = append(out, one)
	}
	return out
}

// replacesPrefix reports whether a rule, or one of its backends, has a filter that
// replaces the prefix of the path.
func replacesPrefix(r rule) bool {
	filters := object.List(r, "filters")
	for _, ref := range object.List(r, "backendRefs") {
		filters = append(filters, object.List(ref, "filters")...)
	}
	for _, filter := range filters {
		for _, kind := range []string{"urlRewrite", "requestRedirect"} {
			if object.Text(filter, kind, "path", "type") == string(gatewayv1.PrefixMatchHTTPPathModifier) {
				return true
			}
		}
	}
	return false
}

// checkRewrite refuses a prefix that is to be replaced where none is matched.
func checkRewrite(c *flaggerv1.Canary) error {
	r := c.Spec.Service.Rewrite
	switch {
	case r == nil || r.Type == "" || r.Type == string(gatewayv1.FullPathHTTPPathModifier):
		return nil
	case r.Type != string(gatewayv1.PrefixMatchHTTPPathModifier):
		return terminal("spec.service.rewrite.type: %q is neither ReplacePrefixMatch nor ReplaceFullPath", r.Type)
	case r.URI == "":
		return nil
	}
	requests := map[string][]flaggerv1.HTTPMatchRequest{"spec.service.match": c.Spec.Service.Match}
	if isABTest(c) {
		requests["spec.analysis.match"] = c.Spec.Analysis.Match
	}
	for _, field := range slices.Sorted(maps.Keys(requests)) {
		for i, match := range requests[field] {
			if match.URI != nil && (match.URI.Prefix == "" || match.URI.Exact != "" || match.URI.Regex != "") {
				return terminal("spec.service.rewrite.type: ReplacePrefixMatch replaces what %s[%d].uri.prefix matches, and there is no prefix; "+
					"match one, or use ReplaceFullPath", field, i)
			}
		}
	}
	return nil
}

// The API server takes so many rules, and so many matches in each and in all.
const (
	maxRules, maxRuleMatches, maxMatches = 16, 64, 127
)

// tooMany refuses a route that the API server would.
func tooMany(rules []rule) error {
	total := 0
	for _, r := range rules {
		n := len(object.List(r, "matches"))
		if total += n; n > maxRuleMatches {
			return terminal("spec.service.match: makes %d matches of one rule, with those of spec.analysis.match; a route may have %d",
				n, maxRuleMatches)
		}
	}
	switch {
	case len(rules) > maxRules:
		return terminal("spec.service.match: makes %d rules, one for each prefix to be replaced and user to be chosen; a route may have %d",
			len(rules), maxRules)
	case total > maxMatches:
		return terminal("spec.service.match: makes %d matches, with those of spec.analysis.match; a route may have %d", total, maxMatches)
	}
	return nil
}
