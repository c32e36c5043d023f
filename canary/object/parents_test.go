// SPDX-License-Identifier: Apache-2.0

package object

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestWhatIsSaidOfTheParentsOfARoute(t *testing.T) {
	route := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(`
metadata: {namespace: apps, name: podinfo}
spec:
  parentRefs:
  - {name: public}
  - {group: gateway.networking.k8s.io, kind: Gateway, namespace: edge, name: public, sectionName: https}
  - {group: "", kind: Service, name: podinfo, port: 80}
  - {name: silent}
status:
  parents:
  - parentRef: {kind: Gateway, namespace: apps, name: public}
    controllerName: a.example.com/gateway
    conditions: [{type: Accepted, status: "True"}]
  - parentRef: {name: public}
    controllerName: b.example.com/gateway
  - parentRef: {namespace: edge, name: public, sectionName: https}
    controllerName: a.example.com/gateway
  - parentRef: {namespace: edge, name: public, sectionName: http}
    controllerName: a.example.com/gateway
  - parentRef: {group: "", kind: Service, name: podinfo, port: 80}
    controllerName: mesh.example.com/mesh
  - parentRef: {name: gone}
    controllerName: a.example.com/gateway
`), &route.Object); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, parent := range ParentsOf(route) {
		got = append(got, parent.String()+" by "+parent.Controller)
	}
	if diff := cmp.Diff([]string{
		"Gateway apps/public by a.example.com/gateway", "Gateway apps/public by b.example.com/gateway",
		"Gateway edge/public (https) by a.example.com/gateway", "Service apps/podinfo by mesh.example.com/mesh",
	}, got); diff != "" {
		t.Error(diff)
	}
	if of := ParentsOf(route)[0]; Text(of.Conditions[0], "type") != "Accepted" {
		t.Errorf("conditions %v", of.Conditions)
	}
}
