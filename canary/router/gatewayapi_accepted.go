// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-cd/sluice/canary/object"
)

// unaccepted is what the parents of a route say against it: all must follow it that say
// anything about it, whichever of their controllers says so. nil is that they do.
func unaccepted(route *unstructured.Unstructured) *NotAccepted {
	var refused, waiting []string
	for _, want := range object.List(route.Object, "spec", "parentRefs") {
		for _, parent := range object.List(route.Object, "status", "parents") {
			ref, _ := parent["parentRef"].(entry)
			if parentKey(ref, route) != parentKey(want, route) {
				continue
			}
			answer := conditionNotAccepted(route, object.List(parent, "conditions"),
				string(gatewayv1.RouteConditionAccepted), parentName(want, route))
			switch {
			case answer == nil:
			case answer.Refused:
				refused = append(refused, answer.Why)
			default:
				waiting = append(waiting, answer.Why)
			}
		}
	}
	if len(refused)+len(waiting) == 0 {
		return nil
	}
	all := append(slices.Compact(refused), slices.Compact(waiting)...)
	return &NotAccepted{Why: strings.Join(all, "; "), Refused: len(refused) > 0}
}

// parentKey is a reference to a parent with everything that it leaves out.
func parentKey(ref entry, route *unstructured.Unstructured) [6]any {
	namespace := textOr(ref, "namespace", route.GetNamespace())
	return [6]any{
		textOr(ref, "group", gatewayv1.GroupName), textOr(ref, "kind", "Gateway"),
		namespace, object.Text(ref, "name"), object.Text(ref, "sectionName"), ref["port"],
	}
}

// parentName is how messages name a parent.
func parentName(ref entry, route *unstructured.Unstructured) string {
	name := textOr(ref, "kind", "Gateway") + " " + textOr(ref, "namespace", route.GetNamespace()) + "/" + object.Text(ref, "name")
	if section := object.Text(ref, "sectionName"); section != "" {
		name += " (" + section + ")"
	}
	return name
}

// textOr is a text of an object, or what is meant without it.
func textOr(in entry, key, otherwise string) string {
	if text, ok := in[key].(string); ok {
		return text
	}
	return otherwise
}
