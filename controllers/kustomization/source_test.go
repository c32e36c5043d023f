// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// Kustomizations looked for the artifacts of Flux's source-controller, which was gone, and were not Ready until Sluice had
// fetched their sources.
func TestASourceThatAnotherControllerServedIsFetchedFirst(t *testing.T) {
	tests := map[string]struct {
		change func(e *testEnv, src *sourcev1.GitRepository)
		// says is why it fails, "" if it is deferred.
		says string
	}{
		"as long as nothing is wrong with it": {change: func(*testEnv, *sourcev1.GitRepository) {}},
		"unless it cannot be fetched": {
			change: func(_ *testEnv, src *sourcev1.GitRepository) {
				apimeta.SetStatusCondition(&src.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionFalse})
			}, says: "opening artifact main@sha1:1: no artifact",
		},
		"unless it is suspended": {
			change: func(_ *testEnv, src *sourcev1.GitRepository) { src.Spec.Suspend = true }, says: "opening artifact main@sha1:1: no artifact",
		},
		"unless this process serves no sources": {
			change: func(e *testEnv, _ *sourcev1.GitRepository) { e.Store = nil }, says: "opening artifact main@sha1:1: no artifact",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			e.commit("main@sha1:1", map[string]string{"cm.yaml": configMap("a", "1")})
			e.must(k)
			e.states.forget(t.Context(), keyOf(k)) // as by a process that begins
			clear(e.trees)
			e.Store = source.NewStore(t.TempDir(), "store.example.com", e.clock)
			src := &sourcev1.GitRepository{}
			if err := e.client.Get(t.Context(), types.NamespacedName{Namespace: "ns", Name: "src"}, src); err != nil {
				t.Fatal(err)
			}
			tc.change(e, src)
			if err := e.client.Update(t.Context(), src); err != nil {
				t.Fatal(err)
			}
			_, err := e.Reconcile(t.Context(), k)
			want := "source 'GitRepository/ns/src' is to be fetched first"
			if tc.says != "" {
				want = tc.says
			}
			if err == nil || !strings.Contains(err.Error(), want) || reconciler.IsPending(err) != (tc.says == "") {
				t.Errorf("Reconcile: %v, want %s", err, want)
			}
		})
	}
}

// TestAnArtifactInTheStoreIsOpened: nothing is deferred once this process has stored what the status names.
func TestAnArtifactInTheStoreIsOpened(t *testing.T) {
	e := newTestEnv(t)
	e.Store = source.NewStore(t.TempDir(), "store.example.com", e.clock)
	files, err := tree.FromStrings(map[string]string{"cm.yaml": configMap("a", "1")})
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := source.FilesOf(files)
	if err != nil {
		t.Fatal(err)
	}
	publisher := source.Publisher{Store: e.Store}
	artifact, err := publisher.Publish(t.Context(), source.Snapshot{
		Key: source.Key{Kind: "GitRepository", Namespace: "ns", Name: "src"}, Name: "1", Revision: "main@sha1:1",
		Open: func(*budget.Grant) (source.Files, error) { return hashed, nil },
	}, source.Recorded{})
	if err != nil {
		t.Fatal(err)
	}
	src := &sourcev1.GitRepository{Status: sourcev1.GitRepositoryStatus{Artifact: artifact}}
	if e.Store.Awaits(src) {
		t.Error("what is in the store is to be stored")
	}
	artifact.Digest = "sha256:" + strings.Repeat("0", 64)
	if !e.Store.Awaits(src) {
		t.Error("another archive of the same files is taken for what is in the store")
	}
}
