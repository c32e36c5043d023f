// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

// TestRoutesInTheClusterOfAMesh: nothing there can belong to a Canary of here, since
// the garbage collector of that cluster would not find it, and what belongs to a
// Canary of that cluster is that one's, also if it has the same name.
func TestRoutesInTheClusterOfAMesh(t *testing.T) {
	for _, by := range provider.Names() {
		if p, _ := provider.Named(by); p.Cluster == provider.OfWorkload {
			continue
		}
		t.Run(by, func(t *testing.T) {
			tr := contract.New(t, by, contract.Cluster(t))
			r, err := router.New(by, router.Deps{Client: tr.Cluster, IngressClass: "edge", Foreign: true})
			must(t, err)
			tr.Router = r
			tr.Start(provider.Weights{Primary: 80, Canary: 20})
			tr.Wants(provider.Weights{Primary: 80, Canary: 20})
			for _, o := range tr.Made() {
				if len(o.GetOwnerReferences()) > 0 {
					t.Errorf("%s %s is owned from another cluster: %v", o.GetKind(), o.GetName(), o.GetOwnerReferences())
				}
			}
			namesake := tr.Canary.DeepCopy()
			namesake.UID = "there-uid"
			owner := *metav1.NewControllerRef(namesake, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
			for _, o := range tr.Made() {
				o.SetOwnerReferences([]metav1.OwnerReference{owner})
				tr.Must(tr.Cluster.Update(t.Context(), o))
			}
			tr.UnchangedBy("a Canary of another cluster", func() error {
				if err := tr.SetWeights(t.Context(), tr.Canary, provider.Weights{Canary: 100}); !errors.Is(err, reconcile.TerminalError(nil)) {
					t.Errorf("want a terminal error, got %v", err)
				}
				return tr.Finalize(t.Context(), tr.Canary)
			})
		})
	}
}
