// SPDX-License-Identifier: Apache-2.0

package make

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Route is an HTTPRoute of the Gateway API that each of some controllers has accepted for a Gateway of its own.
func Route(namespace, name string, controllers ...string) *unstructured.Unstructured {
	var parents, statuses []any
	for i, controller := range controllers {
		parent := map[string]any{"kind": "Gateway", "namespace": "gateways", "name": fmt.Sprintf("public-%d", i)}
		parents = append(parents, parent)
		statuses = append(statuses, map[string]any{
			"parentRef": parent, "controllerName": controller,
			"conditions": []any{map[string]any{"type": "Accepted", "status": "True"}},
		})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"parentRefs": parents},
		"status":   map[string]any{"parents": statuses},
	}}
}
