package router_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/test/harness"
)

// TestARealServerAgreesWithTheGoldens creates every golden on a real API server:
// its schema must accept the objects, and its defaults must not make the next
// reconcile write them again.
func TestARealServerAgreesWithTheGoldens(t *testing.T) {
	p, err := harness.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	crds, err := filepath.Glob("testdata/crds/*.yaml")
	must(t, err)
	for _, file := range crds {
		must(t, p.ApplyFile(t.Context(), file))
	}
	must(t, p.Install(t.Context())) // waits for all CRDs
	for _, g := range renderings(t) {
		t.Run(g.name, func(t *testing.T) {
			ns := p.Room(t, "router-", nil)
			for _, object := range g.before {
				object.SetNamespace(ns)
				must(t, p.Client.Create(t.Context(), object))
			}
			c, status := g.canary, g.canary.Status
			c.Namespace, c.UID = ns, ""
			c.Spec.Suspend = true // not for a controller that may run here
			must(t, p.Client.Create(t.Context(), c))
			c.Status = status
			r := routerOf(t, c.Spec.Provider, p.Client)
			write := func() (versions []string, specs []any) {
				must(t, r.Reconcile(t.Context(), c))
				must(t, r.SetWeights(t.Context(), c, g.weights()))
				for _, o := range r.Objects(c) {
					object := objectOf(t, p.Client, o)
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
			wantWeights(t, r, c, g.weights())
		})
	}
}
