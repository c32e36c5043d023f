// SPDX-License-Identifier: Apache-2.0

package object

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Parent is a parent of a route of the Gateway API, by what a controller says about the two of them.
type Parent struct {
	// Kind is Gateway, or Service for a mesh.
	Kind, Namespace, Name, Section string
	// Controller is who says it: the controllerName of a GatewayClass, or of a mesh.
	Controller string
	Conditions []JSON
}

// String is how messages name a parent.
func (p Parent) String() string {
	name := p.Kind + " " + p.Namespace + "/" + p.Name
	if p.Section != "" {
		name += " (" + p.Section + ")"
	}
	return name
}

// ParentsOf returns what the status of a route says about the parents that its spec has now: nothing about one of which no
// controller says anything, and several of one of which several do.
func ParentsOf(route *unstructured.Unstructured) []Parent {
	var parents []Parent
	for _, want := range List(route.Object, "spec", "parentRefs") {
		for _, said := range List(route.Object, "status", "parents") {
			if parentKey(Map(said, "parentRef"), route) != parentKey(want, route) {
				continue
			}
			parents = append(parents, Parent{
				Kind: textOr(want, "kind", "Gateway"), Namespace: textOr(want, "namespace", route.GetNamespace()),
				Name: Text(want, "name"), Section: Text(want, "sectionName"),
				Controller: Text(said, "controllerName"), Conditions: List(said, "conditions"),
			})
		}
	}
	return parents
}

// parentKey is a reference to a parent with everything that it leaves out.
func parentKey(ref JSON, route *unstructured.Unstructured) [6]any {
	return [6]any{
		textOr(ref, "group", gatewayv1.GroupName), textOr(ref, "kind", "Gateway"),
		textOr(ref, "namespace", route.GetNamespace()), Text(ref, "name"), Text(ref, "sectionName"), ref["port"],
	}
}

// textOr is a text of an object, or what is meant without it.
func textOr(in JSON, key, otherwise string) string {
	if text, ok := in[key].(string); ok {
		return text
	}
	return otherwise
}
