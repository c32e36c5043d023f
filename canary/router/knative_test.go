// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

func editRoute(t *contract.Fixture, change func(*unstructured.Unstructured)) {
	t.Helper()
	o := t.Made()[0]
	change(o)
	t.Must(t.Cluster.Update(t.Context(), o))
}

// TestKnativeWeightsThatSayNothing would crash a router that trusts what Knative
// leaves out.
func TestKnativeWeightsThatSayNothing(t *testing.T) {
	set := func(value any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) { _ = unstructured.SetNestedField(u.Object, value, path...) }
	}
	for name, change := range map[string]func(*unstructured.Unstructured){
		"nobody has split it":  func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "spec", "traffic") },
		"all go to the latest": set([]any{map[string]any{"latestRevision": true, "percent": int64(100)}}, "spec", "traffic"),
		"percentages are left out": set([]any{
			map[string]any{"latestRevision": true},
			map[string]any{"revisionName": "app-00001"},
		}, "spec", "traffic"),
		"entries are empty": set([]any{map[string]any{}, map[string]any{}}, "spec", "traffic"),
		"they do not add up": set([]any{
			map[string]any{"latestRevision": true, "percent": int64(30)},
			map[string]any{"revisionName": "a", "percent": int64(30)},
		}, "spec", "traffic"),
		"Knative has not seen it":   set(int64(-1), "status", "observedGeneration"),
		"the routes are not ready":  set([]any{map[string]any{"type": "RoutesReady", "status": "Unknown"}}, "status", "conditions"),
		"the status makes no sense": set("x", "spec", "traffic"),
	} {
		t.Run(name, func(t *testing.T) {
			tr := contract.New(t, "knative", contract.Cluster(t))
			tr.Start(provider.Weights{Primary: 80, Canary: 20})
			editRoute(tr, change)
			if _, err := tr.Weights(t.Context(), tr.Canary); !errors.Is(err, router.ErrNotAccepted) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAKnativeServiceIsSplitAgainAfterItsOwnerAppliedIt(t *testing.T) {
	tr := contract.New(t, "knative", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 80, Canary: 20})
	editRoute(tr, func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "spec", "traffic") })
	tr.Must(tr.Reconcile(t.Context(), tr.Canary))
	tr.Wants(provider.Weights{Primary: 100})
}

func TestAPromotedKnativeRevisionTakesTheOldOnesShare(t *testing.T) {
	tr := contract.New(t, "knative", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 80, Canary: 20})
	editRoute(tr, func(u *unstructured.Unstructured) {
		u.SetAnnotations(map[string]string{"flagger.app/primary-revision": "app-00002"})
	})
	tr.Must(tr.Reconcile(t.Context(), tr.Canary))
	tr.Wants(provider.Weights{Primary: 80, Canary: 20})
	traffic, _, _ := unstructured.NestedSlice(tr.Made()[0].Object, "spec", "traffic")
	if got := traffic[1].(map[string]any)["revisionName"]; got != "app-00002" {
		t.Errorf("the primary is %v", got)
	}
}

func TestAKnativeServiceWithoutAPrimaryIsLeftAlone(t *testing.T) {
	tr := contract.New(t, "knative", contract.Cluster(t))
	editRoute(tr, func(u *unstructured.Unstructured) { u.SetAnnotations(nil) })
	tr.UnchangedBy("all of it", func() error {
		return errors.Join(tr.Reconcile(t.Context(), tr.Canary), tr.SetWeights(t.Context(), tr.Canary, provider.Weights{Canary: 100}),
			tr.Finalize(t.Context(), tr.Canary))
	})
}

func TestKnativeGivesEverybodyBackToTheLatest(t *testing.T) {
	tr := contract.New(t, "knative", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 80, Canary: 20})
	tr.Must(tr.Finalize(t.Context(), tr.Canary))
	left := tr.Made()[0]
	if _, split, _ := unstructured.NestedSlice(left.Object, "spec", "traffic"); split || len(left.GetAnnotations()) > 0 {
		t.Errorf("left %v", left.Object)
	}
}

func TestKnativeIsForKnativeServicesOnly(t *testing.T) {
	c := contract.CanaryFor("knative")
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
	tr := contract.New(t, "knative", contract.Cluster(t))
	wantTerminal(t, tr.Supports(c), "spec.targetRef")
}

func TestKubernetesCannotKeepUsersFromWhatAServiceLeadsTo(t *testing.T) {
	c := contract.CanaryFor("kubernetes")
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "app"}
	wantTerminal(t, contract.New(t, "kubernetes", contract.Cluster(t)).Supports(c), "spec.provider")
}
