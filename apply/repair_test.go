// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// config is a ConfigMap in the source.
func config(value string) *unstructured.Unstructured {
	u := unstructuredOf("v1", "ConfigMap", "c")
	u.SetNamespace("ns")
	u.Object["data"] = map[string]any{"key": value}
	return u
}

func TestContentionIsRecognised(t *testing.T) {
	const path = "/api/v1/namespaces/ns/configmaps/c"
	e := newTestEnv(t)
	lines := ""
	apply := func() (repaired bool, contentions []decide.Contention) {
		t.Helper()
		e.Calls()
		out, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("ours")}})
		if err != nil {
			t.Fatal(err)
		}
		lines = ChangeLines(out.Changes)
		return strings.Contains(strings.Join(e.Calls(), "\n"), "PATCH"), out.Contentions
	}
	undo := func() {
		u := ownedBy(owner, config("theirs"))
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "autoscaler", Operation: metav1.ManagedFieldsOperationUpdate}})
		e.Put(path, u)
	}
	apply()
	for i := range 2 {
		undo()
		if repaired, contentions := apply(); !repaired || len(contentions) > 0 {
			t.Fatalf("repair %d: repaired %v, contentions %v", i+1, repaired, contentions)
		}
		if lines != "ConfigMap/ns/c configured: autoscaler had changed .data.key" {
			t.Errorf("repair %d is told as %q", i+1, lines)
		}
	}
	undo()
	_, contentions := apply()
	want := []decide.Contention{{
		ID:      inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"},
		Manager: "autoscaler",
		Fields:  []string{".data.key"},
		Pause:   decide.RepairPolicy.InitialBackoff,
	}}
	if diff := cmp.Diff(want, contentions); diff != "" {
		t.Fatalf("contentions (-want +got):\n%s", diff)
	}
	if text := profile.Describe(contentions[0]); strings.Contains(text, "theirs") || !strings.Contains(text, "autoscaler (.data.key)") {
		t.Errorf("told: %s", text)
	}
	undo()
	if repaired, _ := apply(); repaired {
		t.Error("repaired in a pause")
	}
	e.set.EndPauses()
	if repaired, contentions := apply(); !repaired || len(contentions) > 0 {
		t.Errorf("by request: repaired %v, told again %v", repaired, contentions)
	}
	undo()
	e.clock.SetTime(e.clock.Now().Add(2*decide.RepairPolicy.InitialBackoff - time.Second))
	if repaired, _ := apply(); repaired {
		t.Error("the pause did not grow")
	}
	e.clock.SetTime(e.clock.Now().Add(2 * time.Second))
	if repaired, _ := apply(); !repaired {
		t.Error("not repaired after the pause")
	}
}

func TestDifferences(t *testing.T) {
	source := map[string]any{
		"spec": map[string]any{"replicas": int64(1), "same": "x", "containers": []any{map[string]any{"image": "a:1"}}, "gone": true},
		"data": map[string]any{"a": "1"},
	}
	live := map[string]any{
		"spec":   map[string]any{"replicas": int64(3), "same": "x", "containers": []any{map[string]any{"image": "a:1", "defaulted": "y"}}},
		"data":   map[string]any{"a": "1", "b": "theirs"},
		"status": map[string]any{},
	}
	if diff := cmp.Diff([]string{".spec.gone", ".spec.replicas"}, differences(source, live)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}
