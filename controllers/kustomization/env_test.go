// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	e := &testEnv{
		Reconciler: reconcilerWith(t), t: t, cluster: apiserver.New(t), trees: map[string]tree.Tree{},
		clock: clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0)),
	}
	e.Reconciler.clock, e.recorder, e.Opener, e.live = e.clock, e, e, e.client
	e.buildInTheBackground()
	informers, err := watch.New(e.cluster.Config(), e.cluster.Mapper(), logr.Discard(), profile)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = informers.Start(t.Context()) }()
	e.informers = informers
	engine := apply.NewEngine(profile, apply.NewClients(e.cluster.Config(), e.cluster.Mapper(), profile.FieldManager), informers, e.clock)
	e.states = newStates(engine, func(types.NamespacedName) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.woken++
	})
	return e
}

// wakes is how often the engine asked for a reconcile.
func (e *testEnv) wakes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.woken
}

// inSync reports whether informers see the objects as they were left.
func (e *testEnv) inSync(k *kustomizev1.Kustomization) bool {
	for _, entry := range k.Status.Inventory.Entries {
		id, _ := inventory.Parse(entry.ID)
		gvk := schema.GroupVersionKind{Group: id.Group, Version: entry.Version, Kind: id.Kind}
		if _, freshness := e.informers.Look(gvk, id, ""); freshness != decide.Fresh {
			return false
		}
	}
	return e.states.of(keyOf(k)).objects.Drift().Worst == decide.NoDrift
}
