// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/harness"
)

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
