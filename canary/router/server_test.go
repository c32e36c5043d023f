package router_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestARealServerAgreesWithTheGoldens creates every golden on a real API server:
// its schema must accept the route, and its defaults must not make the next
// reconcile write it again.
func TestARealServerAgreesWithTheGoldens(t *testing.T) {
	p, err := harness.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Install(t.Context()))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "router-"}}
	must(t, p.Client.Create(t.Context(), ns))
	t.Cleanup(func() { _ = p.Client.Delete(context.Background(), ns) })
	files, err := filepath.Glob("testdata/*/in.yaml")
	must(t, err)
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			data, err := os.ReadFile(file)
			must(t, err)
			c := &flaggerv1.Canary{}
			must(t, yaml.UnmarshalStrict(data, c))
			name := filepath.Base(filepath.Dir(file))
			c.Namespace, c.Name, c.UID, c.Spec.Service.Name = ns.Name, name, "", name
			c.Spec.Suspend = true // not for a controller that may run here
			must(t, p.Client.Create(t.Context(), c))
			r, err := router.New(c.Spec.Provider, router.Deps{Client: p.Client})
			must(t, err)
			must(t, r.Reconcile(t.Context(), c))
			w := router.Weights{Primary: 70, Canary: 30, Mirror: c.Spec.Analysis.Mirror}
			must(t, r.SetWeights(t.Context(), c, w))
			key, before, after := client.ObjectKeyFromObject(c), &gatewayv1.HTTPRoute{}, &gatewayv1.HTTPRoute{}
			must(t, p.Client.Get(t.Context(), key, before))
			rendered := before.DeepCopy()
			must(t, r.Reconcile(t.Context(), c))
			must(t, r.SetWeights(t.Context(), c, w))
			must(t, p.Client.Get(t.Context(), key, after))
			if diff := cmp.Diff(rendered.Spec, after.Spec); diff != "" || before.ResourceVersion != after.ResourceVersion {
				t.Errorf("written again (-before +after):\n%s", diff)
			}
			wantWeights(t, r, c, w)
		})
	}
}
