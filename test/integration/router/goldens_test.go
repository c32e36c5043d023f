// SPDX-License-Identifier: Apache-2.0

// Package router_test holds the routers of canaries to their contract, and to the objects
// that they write, on a real API server.
package router_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

// TestARealServerAgreesWithTheGoldens creates every golden on a real API server:
// its schema must accept the objects, and its defaults must not make the next
// reconcile write them again.
func TestARealServerAgreesWithTheGoldens(t *testing.T) {
	p := playground(t)
	installCRDs(t, p)
	for _, g := range contract.Goldens(t, testdata) {
		t.Run(g.Name, func(t *testing.T) {
			ns := p.NewNamespace(t, "router-", nil)
			for _, object := range g.Before {
				object.SetNamespace(ns)
				must(t, p.Client.Create(t.Context(), object))
			}
			c, status := g.Canary, g.Canary.Status
			c.Namespace, c.UID = ns, ""
			c.Spec.Suspend = true // not for a controller that may run here
			must(t, p.Client.Create(t.Context(), c))
			c.Status = status
			r, err := router.New(c.Spec.Provider, router.Deps{Client: p.Client})
			must(t, err)
			write := func() (versions []string, specs []any) {
				must(t, r.Reconcile(t.Context(), c))
				must(t, r.SetWeights(t.Context(), c, g.Weights()))
				for _, o := range r.Objects(c) {
					object := &unstructured.Unstructured{}
					object.SetGroupVersionKind(o.GroupVersionKind)
					must(t, p.Client.Get(t.Context(), o.NamespacedName, object))
					spec, _, _ := unstructured.NestedFieldCopy(object.Object, "spec")
					versions, specs = append(versions, object.GetResourceVersion()), append(specs, spec)
				}
				return versions, specs
			}
			before, rendered := write()
			after, again := write()
			if diff := cmp.Diff(rendered, again); diff != "" || !cmp.Equal(before, after) {
				t.Errorf("written again (-before +after):\n%s", diff)
			}
			weights, err := r.Weights(t.Context(), c)
			must(t, err)
			if weights != g.Weights() {
				t.Errorf("got %v, want %v", weights, g.Weights())
			}
		})
	}
}
