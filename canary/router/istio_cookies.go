// SPDX-License-Identifier: Apache-2.0

package router

import (
	"maps"
	"slices"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// stickToHost returns the routes that keep users with a cookie where they are.
func stickToHost(base rule, c *flaggerv1.Canary, s sessionAffinity) []rule {
	return s.stickyRoutes(func(cookie string, ofPrimary, ofCanary int) rule {
		r := withMeshCookie(base, cookie)
		object.PutList(r, "route", destinations(c, ofPrimary, ofCanary))
		return r
	})
}

// setMeshCookies makes the answers of the copies set their cookie.
func setMeshCookies(weighted rule, s sessionAffinity) rule {
	to := object.List(weighted, "route")
	if s.primary != "" {
		addMeshHeader(to[0], s.setPrimary())
	}
	addMeshHeader(to[1], s.setCanary())
	return weighted
}

// dropMeshCookies returns the routes that tell users to forget a cookie.
func dropMeshCookies(weighted rule, s sessionAffinity) []rule {
	var out []rule
	for _, cookie := range s.stale {
		r := withMeshCookie(weighted, cookie)
		addMeshHeader(r, s.drop(cookie))
		out = append(out, r)
	}
	return out
}

// withMeshCookie narrows a copy of a route to requests that have a cookie.
func withMeshCookie(r rule, cookie string) rule {
	condition := map[string]any{"headers": map[string]any{cookieHeader: map[string]any{"regex": cookieRegex(cookie)}}}
	narrowed := without(r)
	object.PutList(narrowed, "match", narrow(object.List(r, "match"), []map[string]any{condition}, addConditions))
	return narrowed
}

// addConditions adds conditions to those of a match; only one about the very same header, parameter, label or part of the
// request takes the other's place: a match has room for one of each.
func addConditions(into, from map[string]any) {
	for key, value := range from {
		if _, isMap := value.(map[string]any); !isMap || !slices.Contains(meshConditions, key) {
			into[key] = value
			continue
		}
		all := object.CopyMap(into, key)
		maps.Copy(all, object.CopyMap(from, key))
		into[key] = all
	}
}

// meshConditions are the parts of Istio's HTTPMatchRequest that have a condition for each name.
var meshConditions = []string{"headers", "withoutHeaders", "queryParams", "sourceLabels"}

// addMeshHeader makes answers set a cookie, for a route or one of its destinations.
func addMeshHeader(to map[string]any, cookie string) {
	headers := object.CopyMap(to, "headers")
	response := object.CopyMap(headers, "response")
	add := object.CopyMap(response, "add")
	add[setCookieHeader] = cookie
	response["add"], headers["response"], to["headers"] = add, response, headers
}
