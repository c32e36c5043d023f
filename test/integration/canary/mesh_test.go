// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestRoutesOfAMeshAreWrittenIntoItsCluster: workloads are in one cluster, the
// control plane of the mesh, and with it the routes, in another.
func TestRoutesOfAMeshAreWrittenIntoItsCluster(t *testing.T) {
	t.Parallel()
	here, mesh := harness.Installed(t), harness.SecondPlayground(t)
	w := &testEnv{t: t, c: here.Client}
	w.namespace = here.NewNamespace(t, "mesh-", nil)
	there := &testEnv{t: t, c: mesh.Client, namespace: w.namespace}
	there.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	sluice, err := here.StartController(t.Context(), t.TempDir(), "--controllers", "canary", "--watch-namespace", w.namespace,
		"--canary-min-interval", "1s", "--kubeconfig-service-mesh", mesh.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)

	w.podinfo(func(c *flaggerv1.Canary) {
		c.Spec.RevertOnDeletion = true
		c.Spec.Analysis.Metrics = nil
		c.Spec.Analysis.Interval = "2s"
	})
	route := &gatewayv1.HTTPRoute{}
	if w.get("podinfo", route) {
		t.Error("there is a route in the cluster of the workloads")
	}
	if !there.get("podinfo", route) || len(route.OwnerReferences) > 0 {
		t.Errorf("owned in a cluster where the owner is not, and the garbage collector is: %v", route.OwnerReferences)
	}
	for _, name := range []string{"podinfo", "podinfo-primary", "podinfo-canary"} {
		if svc := (&corev1.Service{}); !w.get(name, svc) || there.get(name, svc) {
			t.Errorf("Service %s is not where its pods are", name)
		}
	}

	weight := func(want int32) {
		t.Helper()
		w.until(fmt.Sprintf("weight %d", want), func() bool { return there.weight() == want })
	}
	w.apply("podinfo:2")
	weight(30)
	weight(60)
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	weight(0)

	if err := mesh.Client.Delete(t.Context(), route); err != nil {
		t.Fatal(err)
	}
	weight(0) // it is watched there, and comes back

	if err := here.Client.Delete(t.Context(), w.canary()); err != nil {
		t.Fatal(err)
	}
	w.until("gone", func() bool {
		err := here.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: "podinfo"}, &flaggerv1.Canary{})
		return apierrors.IsNotFound(err)
	})
	there.get("podinfo", route)
	if refs := route.Spec.Rules[0].BackendRefs; len(refs) != 1 || refs[0].Name != "podinfo" {
		t.Errorf("the route that stays leads to %+v", refs)
	}
}
