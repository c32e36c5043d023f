// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

func TestANewCommitIsApplied(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	result := e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "one" {
		t.Fatalf("the first commit left %q", got)
	}
	if result.Message != "Applied revision: main@sha1:1" || k.Status.LastAppliedRevision != "main@sha1:1" ||
		k.Status.LastAttemptedRevision != "main@sha1:1" {
		t.Errorf("result %+v, status %+v", result, k.Status)
	}
	if n := len(k.Status.Inventory.Entries); n != 1 {
		t.Errorf("the inventory has %d entries", n)
	}
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "two")})
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "two" || k.Status.LastAppliedRevision != "main@sha1:2" {
		t.Errorf("the second commit left %q, revision %s", got, k.Status.LastAppliedRevision)
	}
}

func TestACommitThatChangesNothingCostsNoCall(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Path = "./app"
	files := map[string]string{"app/c.yaml": configMap("c", "one"), "README.md": "one"}
	e.commit("main@sha1:1", files)
	if events := e.must(k).Events; len(events) != 2 { // what changed, and that it is finished
		t.Errorf("events of the first run: %+v", events)
	}
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	e.cluster.Calls()
	files["README.md"] = "two"
	e.commit("main@sha1:2", files)
	result := e.must(k)
	if calls := e.cluster.Calls(); len(calls) > 0 || k.Status.LastAppliedRevision != "main@sha1:2" {
		t.Errorf("calls %q, revision %s", calls, k.Status.LastAppliedRevision)
	}
	if len(result.Events) != 1 || !result.Events[0].AlertsOnly || result.ReadyEvent != reconciler.SkipReadyEvent ||
		result.Events[0].Metadata["kustomize.toolkit.fluxcd.io/commit_status"] != "update" ||
		result.Events[0].Metadata["kustomize.toolkit.fluxcd.io/revision"] != "main@sha1:2" {
		t.Errorf("events of a run that did nothing, but for its commit: %+v", result)
	}
}

func TestAnArtifactThatWasAppliedIsNotOpenedAgain(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	e.opened, e.trees = 0, nil // whoever serves it is away
	for range 2 {
		if result := e.must(k); len(result.Events) > 0 {
			t.Errorf("events %+v", result.Events)
		}
	}
	if e.opened != 0 {
		t.Errorf("opened %d times", e.opened)
	}
}

func TestWhatLeftTheSourceIsPruned(t *testing.T) {
	tests := map[string]struct {
		prune    bool
		change   func(*unstructured.Unstructured)
		wantKept bool
		wantSays string // by an event
	}{
		"with spec.prune":        {prune: true, wantSays: "ConfigMap/ns/d deleted"},
		"not without spec.prune": {wantKept: true},
		"not what another Kustomization has by now": {
			prune: true, change: ownedBy("other"), wantKept: true,
			wantSays: "ConfigMap/ns/d not pruned: it has the labels of Kustomization ns/other",
		},
		"not what asks to be kept": {
			prune: true, change: annotated("kustomize.toolkit.fluxcd.io/prune", "disabled"), wantKept: true,
			wantSays: "ConfigMap/ns/d not pruned: kustomize.toolkit.fluxcd.io/prune: disabled",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Spec.Prune = tc.prune
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one"), "d.yaml": configMap("d", "one")})
			e.must(k)
			if tc.change != nil {
				live := e.cluster.Get(pathOf("d"))
				tc.change(live)
				e.cluster.Put(pathOf("d"), live)
			}
			e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "one")})
			events := e.must(k).Events
			said := func(event reconciler.Event) bool { return event.Message == tc.wantSays }
			if tc.wantSays != "" && !slices.ContainsFunc(events, said) {
				t.Errorf("events %+v, want %q", events, tc.wantSays)
			}
			if kept := e.cluster.Get(pathOf("d")) != nil; kept != tc.wantKept {
				t.Errorf("kept = %v, want %v", kept, tc.wantKept)
			}
			if inventory := k.Status.Inventory; len(inventory.Entries) != 1 {
				t.Errorf("what left the source is told of once, and is still in the inventory: %+v", inventory)
			}
			if len(k.Status.Inventory.Entries) != 1 || e.cluster.Get(pathOf("c")) == nil {
				t.Errorf("inventory %v", k.Status.Inventory.Entries)
			}
		})
	}
}

func ownedBy(name string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		u.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": name, "kustomize.toolkit.fluxcd.io/namespace": "ns"})
	}
}

func annotated(key, value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { u.SetAnnotations(map[string]string{key: value}) }
}

func TestDriftIsRepaired(t *testing.T) {
	tests := map[string]func(*testEnv){
		"a field that somebody changed": func(e *testEnv) {
			live := e.cluster.Get(pathOf("c"))
			live.Object["data"] = map[string]any{"key": "theirs"}
			live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate}})
			e.cluster.Put(pathOf("c"), live)
		},
		"an object that somebody deleted": func(e *testEnv) { e.cluster.Delete(pathOf("c")) },
	}
	for name, disturb := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
			e.must(k)
			harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
			disturb(e)
			harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
			e.must(k)
			if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
				t.Errorf("the object has %q", got)
			}
		})
	}
}

func TestDependenciesAreWaitedFor(t *testing.T) {
	ready := func(k *kustomizev1.Kustomization, revision string) {
		k.Status.LastAppliedRevision, k.Status.ObservedGeneration = revision, k.Generation
		k.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}
	}
	tests := map[string]struct {
		dep  func(*kustomizev1.Kustomization)
		want string
	}{
		"one that is not there": {want: "dependency 'ns/b' not found: create it, or correct spec.dependsOn"},
		"one that is not ready": {dep: func(*kustomizev1.Kustomization) {},
			want: "dependency 'ns/b' is not ready: mend what its condition Ready says, or correct spec.dependsOn"},
		"one that has not seen its own spec": {
			dep:  func(k *kustomizev1.Kustomization) { ready(k, "main@sha1:1"); k.Generation = 2 },
			want: "dependency 'ns/b' is not ready: mend what its condition Ready says, or correct spec.dependsOn",
		},
		"one that has the commit before": {
			dep:  func(k *kustomizev1.Kustomization) { ready(k, "main@sha1:0") },
			want: "dependency 'ns/b' revision is not up to date: it has yet to apply what their source has now",
		},
		"one that is ready":                   {dep: func(k *kustomizev1.Kustomization) { ready(k, "main@sha1:1") }},
		"one that is ready at another source": {dep: func(k *kustomizev1.Kustomization) { ready(k, "x"); k.Spec.SourceRef.Name = "other" }},
		"one that depends on this one": {dep: func(k *kustomizev1.Kustomization) {
			k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a"}}
		}, want: "circular dependency: ns/a -> ns/b -> ns/a: take one of them out of spec.dependsOn of the other"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a", "b")
			if err := e.client.Create(t.Context(), k.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			if tc.dep != nil {
				dep := app("b")
				tc.dep(dep)
				if err := e.client.Create(t.Context(), dep); err != nil {
					t.Fatal(err)
				}
			}
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
			_, err := e.run(k)
			if got := fmt.Sprint(err); tc.want != "" && got != tc.want || tc.want == "" && err != nil {
				t.Errorf("Reconcile = %v, want %s", err, tc.want)
			}
			if applied := e.cluster.Get(pathOf("c")) != nil; applied != (tc.want == "") {
				t.Errorf("applied = %v", applied)
			}
			if tc.want != "" && reconciler.ReasonOf(err, e.Reason) != meta.DependencyNotReadyReason {
				t.Errorf("reason %s", reconciler.ReasonOf(err, e.Reason))
			}
			if tc.want != "" && k.Status.LastAttemptedRevision != "" {
				t.Errorf("attempted %s, which it did not", k.Status.LastAttemptedRevision)
			}
		})
	}
}

func TestHealthIsWaitedFor(t *testing.T) {
	const at = "/apis/apps/v1/namespaces/ns/deployments/d"
	status := func(e *testEnv, status map[string]any) {
		live := e.cluster.Get(at)
		live.Object["status"] = status
		live.SetGeneration(1)
		e.cluster.Put(at, live)
	}
	healthy := map[string]any{
		"observedGeneration": int64(1), "replicas": int64(1),
		"updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
		"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
	}
	failed := map[string]any{"observedGeneration": int64(1), "conditions": []any{
		map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}}}
	start := func(t *testing.T) (*testEnv, *kustomizev1.Kustomization) {
		t.Helper()
		e := newTestEnv(t)
		k := app("a")
		k.Spec.Wait = true
		k.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
		e.commit("main@sha1:1", map[string]string{"d.yaml": deployment("d")})
		result, err := e.run(k)
		if err != nil || !result.Progressing || result.Reason != meta.ProgressingReason || result.After != time.Minute {
			t.Fatalf("Reconcile = %+v, %v", result, err)
		}
		c := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
		if want := "Running health checks for revision main@sha1:1 with a timeout of 1m0s"; c == nil || c.Status != metav1.ConditionUnknown ||
			c.Message != want {
			t.Fatalf("Healthy is %+v", c)
		}
		if k.Status.LastAppliedRevision != "" {
			t.Error("the revision counts as applied before it is healthy")
		}
		return e, k
	}
	check := func(t *testing.T, e *testEnv, k *kustomizev1.Kustomization, status metav1.ConditionStatus, reason string) {
		t.Helper()
		c := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != k.Generation {
			t.Errorf("Healthy is %+v, want %s %s", c, status, reason)
		}
	}
	t.Run("until it is there", func(t *testing.T) {
		e, k := start(t)
		e.clock.SetTime(e.clock.Now().Add(30 * time.Second))
		if result, err := e.run(k); err != nil || result.After != 30*time.Second {
			t.Errorf("half way: %+v, %v", result, err)
		}
		status(e, healthy)
		harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
		e.must(k)
		check(t, e, k, metav1.ConditionTrue, meta.SucceededReason)
		if k.Status.LastAppliedRevision != "main@sha1:1" {
			t.Errorf("status %+v", k.Status)
		}
	})
	t.Run("until it failed", func(t *testing.T) {
		e, k := start(t)
		status(e, failed)
		harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
		_, err := e.run(k)
		if reconciler.ReasonOf(err, e.Reason) != meta.HealthCheckFailedReason ||
			!strings.Contains(err.Error(), "failed early due to stalled resources: [Deployment/ns/d") {
			t.Fatalf("Reconcile = %v", err)
		}
		check(t, e, k, metav1.ConditionFalse, meta.HealthCheckFailedReason)
		if len(k.Status.History) != 1 || k.Status.History[0].LastReconciledStatus != meta.HealthCheckFailedReason {
			t.Errorf("history %+v", k.Status.History)
		}
	})
	t.Run("until the timeout, after which the verdict stands", func(t *testing.T) {
		e, k := start(t)
		e.clock.SetTime(e.clock.Now().Add(time.Minute))
		_, err := e.run(k)
		want := "health check failed after 1m0s: timeout waiting for: [Deployment/ns/d status: 'InProgress'"
		if err == nil || !strings.HasPrefix(err.Error(), want) || errors.Is(err, reconcile.TerminalError(nil)) {
			t.Fatalf("Reconcile = %v, want %s", err, want)
		}
		e.clock.SetTime(e.clock.Now().Add(time.Minute))
		if _, err := e.run(k); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("later: %v", err)
		}
		status(e, healthy)
		harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
		e.must(k)
		check(t, e, k, metav1.ConditionTrue, meta.SucceededReason)
	})
	t.Run("and not for what the next commit leaves out", func(t *testing.T) {
		e, k := start(t)
		e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "one")})
		e.must(k)
	})
}

func TestDefinitionsAreWaitedFor(t *testing.T) {
	definition := "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: widgets.example.com\nspec: {}\n"
	const at = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
	condition := func(e *testEnv, kind, status string) {
		live := e.cluster.Get(at)
		live.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": kind, "status": status, "message": "taken"}}}
		e.cluster.Put(at, live)
	}
	start := func(t *testing.T) (*testEnv, *kustomizev1.Kustomization) {
		t.Helper()
		e := newTestEnv(t)
		k := app("a")
		k.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
		e.commit("main@sha1:1", map[string]string{"crd.yaml": definition, "c.yaml": configMap("c", "one")})
		result, err := e.run(k)
		if err != nil || !result.Progressing ||
			!strings.HasPrefix(result.Message, "Waiting for definitions to be established: [CustomResourceDefinition/widgets.example.com") {
			t.Fatalf("Reconcile = %+v, %v", result, err)
		}
		if e.cluster.Get(pathOf("c")) != nil {
			t.Fatal("what comes after is applied already")
		}
		if len(k.Status.Inventory.Entries) != 2 {
			t.Fatalf("inventory %v, want what will be created, too", k.Status.Inventory.Entries)
		}
		return e, k
	}
	t.Run("until they are established", func(t *testing.T) {
		e, k := start(t)
		condition(e, "Established", "True")
		harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
		e.must(k)
		if e.cluster.Get(pathOf("c")) == nil || len(k.Status.Inventory.Entries) != 2 {
			t.Errorf("inventory %v", k.Status.Inventory.Entries)
		}
	})
	t.Run("until they fail", func(t *testing.T) {
		e, k := start(t)
		condition(e, "NamesAccepted", "False")
		harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
		if _, err := e.run(k); err == nil ||
			!strings.HasPrefix(err.Error(), "failed early due to stalled resources: [CustomResourceDefinition/widgets") {
			t.Errorf("Reconcile = %v", err)
		}
	})
	t.Run("until the timeout", func(t *testing.T) {
		e, k := start(t)
		e.clock.SetTime(e.clock.Now().Add(time.Minute))
		if _, err := e.run(k); err == nil || !strings.HasPrefix(err.Error(), "timeout waiting for: [CustomResourceDefinition/widgets") {
			t.Errorf("Reconcile = %v", err)
		}
	})
}

func TestTheIntervalLooksAtWhatCannotBeWatched(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.ForbidsLists = true
	k := app("a")
	k.Spec.Interval = metav1.Duration{Duration: time.Hour}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
	if after := e.must(k).After; after != time.Hour {
		t.Errorf("comes back after %s", after)
	}
	live := e.cluster.Get(pathOf("c"))
	live.Object["data"] = map[string]any{"key": "theirs"}
	e.cluster.Put(pathOf("c"), live)
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "theirs" {
		t.Errorf("repaired before the interval is over: %q", got)
	}
	e.clock.SetTime(e.clock.Now().Add(time.Hour))
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
		t.Errorf("after the interval: %q", got)
	}
}

func TestARequestIsAFullLook(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.ForbidsLists = true
	k := app("a")
	k.Spec.Interval = metav1.Duration{Duration: time.Hour}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
	e.must(k)
	live := e.cluster.Get(pathOf("c"))
	live.Object["data"] = map[string]any{"key": "theirs"}
	e.cluster.Put(pathOf("c"), live)
	k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
		t.Errorf("after a request: %q", got)
	}
}

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

func TestVariablesThatChangeAreApplied(t *testing.T) {
	e := newTestEnv(t)
	vars := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"}, Data: map[string]string{"value": "one"}}
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "vars"}}}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "${value}")})
	if _, err := e.run(k); reconciler.ReasonOf(err, e.Reason) != meta.BuildFailedReason ||
		!strings.Contains(fmt.Sprint(err), "substitute from 'ConfigMap/vars'") {
		t.Errorf("without the variables: %v", err)
	}
	if err := e.client.Create(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	vars.Data["value"] = "two"
	if err := e.client.Update(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "two" {
		t.Errorf("applied %q", got)
	}
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	e.cluster.Calls()
	vars.Labels = map[string]string{"other": "version, same values"}
	if err := e.client.Update(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	if calls := e.cluster.Calls(); len(calls) > 0 {
		t.Errorf("the same values cost %q", calls)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	tests := map[string]struct {
		files      map[string]string
		path       string
		wantReason string
		wantStalls bool
	}{
		"a path that is not there": {
			files: map[string]string{"a.yaml": configMap("c", "x")}, path: "./none", wantReason: meta.ArtifactFailedReason,
			wantStalls: true,
		},
		"a file that is no YAML": {files: map[string]string{"a.yaml": "a: b: c"}, wantReason: meta.BuildFailedReason, wantStalls: true},
		"a tab in YAML, which the next retry would not mend either": {
			files: map[string]string{"a.yaml": "a:\n\tb: c"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a chart": {
			files: map[string]string{"kustomization.yaml": "helmCharts: [{name: x}]"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a generator that is not built in": {
			files: map[string]string{
				"kustomization.yaml": "generators: [g.yaml]", "g.yaml": "apiVersion: x/v1\nkind: G\nmetadata: {name: g}\n",
			},
			wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a file outside of the source": {
			files: map[string]string{"kustomization.yaml": "resources: [../../etc/passwd]"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a base that is elsewhere": {
			files:      map[string]string{"kustomization.yaml": "resources: [\"https://example.com/x\"]"},
			wantReason: meta.BuildFailedReason, wantStalls: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Spec.Path = tc.path
			e.commit("main@sha1:1", tc.files)
			_, err := e.run(k)
			if err == nil || reconciler.ReasonOf(err, e.Reason) != tc.wantReason || errors.Is(err, reconcile.TerminalError(nil)) != tc.wantStalls {
				t.Errorf("Reconcile = %v, reason %s", err, reconciler.ReasonOf(err, e.Reason))
			}
			if k.Status.LastAttemptedRevision != "main@sha1:1" {
				t.Errorf("attempted %q", k.Status.LastAttemptedRevision)
			}
		})
	}
}

func TestAMissingSourceIsAwaited(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	_, err := e.run(k)
	if reconciler.ReasonOf(err, e.Reason) != meta.ArtifactFailedReason ||
		!strings.Contains(fmt.Sprint(err), "source 'GitRepository/ns/src' not found") {
		t.Errorf("Reconcile = %v", err)
	}
	if err := e.client.Create(t.Context(), &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "src"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.run(k); !strings.Contains(fmt.Sprint(err), "source 'GitRepository/ns/src' has no artifact yet") {
		t.Errorf("Reconcile = %v", err)
	}
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

func TestHealthChecksOfOthers(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{Kind: "Deployment", Namespace: "ns", Name: "d"}}
	k.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	result, err := e.run(k)
	if err != nil || !result.Progressing {
		t.Fatalf("Reconcile = %+v, %v", result, err)
	}
	c := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
	if c == nil || !c.LastTransitionTime.Time.Equal(e.clock.Now()) {
		t.Errorf("Healthy is %+v", c)
	}
	t.Run("go on where a former process stopped", func(t *testing.T) {
		restarted := newTestEnv(t)
		restarted.clock.SetTime(e.clock.Now().Add(40 * time.Second))
		restarted.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
		result, err := restarted.run(k)
		if err != nil || result.After != 20*time.Second {
			t.Errorf("Reconcile = %+v, %v", result, err)
		}
	})
}

func TestWhatIsRemarkedAboutObjectsIsAWarning(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.Warn = func(apiserver.Request) []string { return []string{"apps/v1 is deprecated, not so hunter2"} }
	vars := make.Secret("ns", "vars", map[string]string{"password": "hunter2"})
	if err := e.client.Create(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "vars"}}}
	e.commit("main@sha1:1", map[string]string{"d.yaml": deployment("d") + "  replica: 2\n"})
	told := map[string]string{}
	for _, event := range e.must(k).Events {
		if event.Type == corev1.EventTypeWarning && event.Advice {
			told[event.Reason] = event.Message
		}
	}
	for reason, want := range map[string]string{
		build.UnknownFields:    "Deployment/ns/d in d.yaml: unknown field spec.replica, did you mean replicas?",
		apiServerWarningReason: "Deployment/ns/d: apps/v1 is deprecated, not so ",
	} {
		if !strings.Contains(told[reason], want) || strings.Contains(told[reason], "hunter2") {
			t.Errorf("%s: %q, want %q", reason, told[reason], want)
		}
	}
}
