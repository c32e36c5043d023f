// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
	"github.com/sluice-cd/sluice/test/golden"
)

func TestGoldens(t *testing.T) {
	for _, g := range contract.Goldens(t, "testdata") {
		t.Run(g.Name, func(t *testing.T) {
			cluster := contract.Cluster(t)
			for _, object := range g.Before {
				must(t, cluster.Create(t.Context(), object))
			}
			r := routerOf(t, g.Canary.Spec.Provider, cluster)
			must(t, r.Supports(g.Canary))
			must(t, r.Reconcile(t.Context(), g.Canary))
			must(t, r.SetWeights(t.Context(), g.Canary, g.Weights()))
			var got bytes.Buffer
			for i, o := range r.Objects(g.Canary) {
				object := objectOf(t, cluster, o)
				object.SetResourceVersion("")
				data, err := yaml.Marshal(object.Object)
				must(t, err)
				if i > 0 {
					got.WriteString("---\n")
				}
				got.Write(data)
			}
			golden.Compare(t, g.Path(), got.Bytes())
			wantWeights(t, r, g.Canary, g.Weights())
		})
	}
}

// objectOf reads a route object as it is stored.
func objectOf(t *testing.T, c client.Client, o object.Ref) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(o.GroupVersionKind)
	must(t, c.Get(t.Context(), o.NamespacedName, object))
	return object
}

func routerOf(t *testing.T, by string, c client.Client) router.Router {
	t.Helper()
	r, err := router.New(by, router.Deps{Client: c})
	must(t, err)
	return r
}
