// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestAFailedApplyKeepsTheInventory(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Prune = true
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	e.cluster.Hook = func(r apiserver.Request) error {
		if strings.HasSuffix(r.Path, "/e") {
			return errors.New("the API server has trouble")
		}
		return nil
	}
	e.commit("main@sha1:2", map[string]string{"d.yaml": configMap("d", "one"), "e.yaml": configMap("e", "one")})
	for range 2 { // also of a retry
		_, err := e.run(k)
		if err == nil || !strings.Contains(err.Error(), "ConfigMap/ns/e apply failed") {
			t.Errorf("Reconcile = %v", err)
		}
		if got := inventoryOf(k); got != "c d e" || e.cluster.Get(pathOf("c")) == nil {
			t.Errorf("inventory %s, want what was there, what is new, and what may be", got)
		}
	}
	e.cluster.Hook = nil
	e.must(k)
	if len(k.Status.Inventory.Entries) != 2 || e.cluster.Get(pathOf("c")) != nil {
		t.Errorf("after the repair: inventory %v", k.Status.Inventory.Entries)
	}
}

// inventoryOf are the names in an inventory, sorted.
func inventoryOf(k *kustomizev1.Kustomization) string {
	entries, _ := entriesOf(k)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// A retry of what is refused wrote the status twice: with what it was about to create, and without.
func TestARetryOfWhatIsRefusedWritesNoInventory(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Prune = true
	e.cluster.Hook = func(r apiserver.Request) error {
		if strings.HasSuffix(r.Path, "/e") && r.Method == http.MethodPatch {
			return apierrors.NewBadRequest("no")
		}
		return nil
	}
	e.commit("main@sha1:1", map[string]string{"d.yaml": configMap("d", "one"), "e.yaml": configMap("e", "one")})
	for range 3 {
		if _, err := e.built(k); err == nil || inventoryOf(k) != "d e" || len(e.checkpoints) != 1 {
			t.Errorf("Reconcile = %v, inventory %q, %d checkpoints", err, inventoryOf(k), len(e.checkpoints))
		}
	}
	e.commit("main@sha1:2", map[string]string{"d.yaml": configMap("d", "two")})
	if e.must(k); inventoryOf(k) != "d" {
		t.Errorf("inventory %q", inventoryOf(k))
	}
}

// TestWhatAKilledProcessHasCreatedIsDeletedWithTheNextRevision kills the process after it has created
// an object, before it could say so. The next revision has that object no more.
func TestWhatAKilledProcessHasCreatedIsDeletedWithTheNextRevision(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Prune = true
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "two"), "d.yaml": configMap("d", "two")})
	e.cluster.Hook = func(r apiserver.Request) error {
		if r.Method == http.MethodPatch && inventoryOf(e.checkpoints[len(e.checkpoints)-1]) != "c d" {
			t.Errorf("%s comes before the inventory has it", r.Path)
		}
		return nil
	}
	e.must(k.DeepCopy())
	if e.cluster.Get(pathOf("d")) == nil {
		t.Fatal("d was not created")
	}
	left := e.checkpoints[len(e.checkpoints)-1] // all that was written
	if left.Status.LastAppliedRevision != "main@sha1:1" {
		t.Errorf("a checkpoint says that %s was applied", left.Status.LastAppliedRevision)
	}
	e.states.forget(t.Context(), keyOf(k))
	e.commit("main@sha1:3", map[string]string{"c.yaml": configMap("c", "three")})
	e.must(left)
	if e.cluster.Get(pathOf("d")) != nil || inventoryOf(left) != "c" {
		t.Errorf("d is still there; inventory %s", inventoryOf(left))
	}
	if before := len(e.checkpoints); before != 2 {
		t.Errorf("%d checkpoints, want one for each revision that has something new", before)
	}
}

func TestNothingIsAppliedThatTheInventoryCannotHave(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.checkpointError = errors.New("the API server is away")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	if _, err := e.built(k); !errors.Is(err, e.checkpointError) || e.cluster.Get(pathOf("c")) != nil {
		t.Errorf("Reconcile = %v", err)
	}
	e.checkpointError = nil
	e.must(k)
}

func TestAMalformedInventoryIsToldAndLeftOut(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "nonsense", Version: "v1"}}}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	events := e.must(k).Events
	if len(events) == 0 || events[0].Type != corev1.EventTypeWarning || !strings.Contains(events[0].Message, `names no object: ["nonsense"]`) {
		t.Errorf("events %+v", events)
	}
	if len(k.Status.Inventory.Entries) != 1 || k.Status.Inventory.Entries[0].ID != "ns_c__ConfigMap" {
		t.Errorf("inventory %v", k.Status.Inventory.Entries)
	}
}
